"""Numbers: how good a policy and its model are, and how sure that is."""
