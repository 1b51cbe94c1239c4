"""What operators look at: pages of tasks, and who did what."""
