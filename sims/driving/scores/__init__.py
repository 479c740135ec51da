"""The published driving scores as pure functions of trajectories and maps; no simulator is needed to use them."""
