"""A model's imagination stepped like a world: where it starts, what it is told, and what really happens beside it."""
