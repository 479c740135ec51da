"""Meta-World's fifty manipulation tasks."""
