"""Tokens in, answers out: the network, the questions it answers, and how a trained one is stored."""
