"""Roads: lane graphs, the lines they are made of, lights, and what can be seen from where."""
