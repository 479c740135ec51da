"""Training: optimisers, schedule, callbacks, checkpoints and the command line around Lightning's loop."""
