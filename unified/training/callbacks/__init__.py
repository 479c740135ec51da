"""What happens beside the optimiser step: averages, checkpoints, guards, films, judging in closed loop."""
