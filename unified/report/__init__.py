"""Numbers become pages, pictures and films."""
