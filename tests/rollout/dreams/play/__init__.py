"""The page on which a dream is played."""
