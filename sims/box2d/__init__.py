"""Gymnasium's worlds that Box2D simulates, seen from above."""
