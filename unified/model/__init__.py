"""Tokens in, answers out: what the model is, what it is asked, and what a trained one is stored as."""
