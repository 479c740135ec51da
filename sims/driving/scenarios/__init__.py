"""Families of traffic scenes, one file each; `library` finds them by name and id."""
