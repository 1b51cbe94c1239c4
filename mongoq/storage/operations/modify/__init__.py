"""The atomic change: plan it, find its conflicts, apply it in one transaction."""
