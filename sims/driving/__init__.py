"""Driving: a world with traffic, its sensors, and the scores by which the field judges a drive."""
