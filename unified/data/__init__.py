"""Data sets in LeRobot's format: written, read, checked, and cut into training windows."""
