"""Everybody else on the road: who they are, how they decide, and what goes wrong between them and the ego."""
