"""What a recording is to hold, and what it keeps of an episode."""
