"""Foreign data sets to checked LeRobot v3, one file a layout."""
