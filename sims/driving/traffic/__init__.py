"""Everybody else on the road: who they are, how they decide, and what went wrong between them and the ego."""
