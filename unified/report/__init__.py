"""Numbers to pages, pictures and films."""
