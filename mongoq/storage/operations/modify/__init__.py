"""The atomic change: plan it, look for conflicts, apply it in one transaction."""
