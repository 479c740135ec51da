"""Lightning's training loop with our optimisers, schedules, checkpoints and command line."""
