"""LeRobot v3 on disk, written so that a saved episode stays saved."""
