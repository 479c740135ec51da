"""Board games under the arm's hand: rules and solvers without a simulator, and the boards."""
