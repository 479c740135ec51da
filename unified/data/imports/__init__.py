"""Data sets in other layouts become checked LeRobot v3, one file a layout."""
