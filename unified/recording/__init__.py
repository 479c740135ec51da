"""The parts of `unified.record`: the plan, one episode, the processes."""
