"""Words and decisions: values, states, errors, and the pure functions that decide. Standard library only."""
