"""The ego, which is the car that is driven: its motion, its controls, and who can drive it."""
