"""What the dashboard reads and does, each after a look at the rights of who asks. Pages only show it."""
