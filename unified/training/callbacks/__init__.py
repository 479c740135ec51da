"""What happens beside a training step: averages, checkpoints, guards, films, judging in closed loop."""
