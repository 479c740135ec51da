"""Games of many moves on a table: rules and solvers without a simulator, and their boards under the arm's hand."""
