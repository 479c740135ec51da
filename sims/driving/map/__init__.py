"""Roads: lanes and how they connect, traffic lights, and what can be seen from where."""
