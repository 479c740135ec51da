"""What a recording shall hold, and what it keeps of an episode."""
