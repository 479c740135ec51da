"""Streams of the timeline model, one kind of data a file."""
