"""The model as a timeline: moments computed once and kept, and every query of every moment in one pass."""
