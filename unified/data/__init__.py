"""A LeRobot v3 data set becomes training windows: it is read, checked, cached and cut."""
