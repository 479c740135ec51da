"""Worlds of the package highway-env, seen from above."""

WORLDS = ("racetrack", "parking", "intersection", "highway-fast")
