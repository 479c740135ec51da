"""Families of drives, one file each; `library` finds them by name and id."""
