"""Worlds of the package highway-env, seen from above; nothing of it is imported here."""

WORLDS = ("racetrack", "parking", "intersection", "highway-fast")
