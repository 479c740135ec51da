"""A trained model on disk: its weights, its architecture, and what it was trained on."""
