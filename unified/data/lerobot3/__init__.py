"""Writes LeRobot v3 so that a saved episode stays saved."""
