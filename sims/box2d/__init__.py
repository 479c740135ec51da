"""Worlds of Gymnasium that Box2D simulates; nothing of it is imported here."""
