"""A dream that somebody steers in the browser."""
