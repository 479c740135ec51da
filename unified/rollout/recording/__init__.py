"""The parts of `unified.rollout.record`: the plan, one episode, the processes."""
