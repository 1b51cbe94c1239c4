"""Explain to operators how a task stands, why tasks failed, and where: for the command line and the dashboard alike."""
