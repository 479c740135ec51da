"""A world to drive in: roads, traffic, sensors, and the scores by which the field judges a drive."""
