"""What all versions of the LeRobot layout share."""
