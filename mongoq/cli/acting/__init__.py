"""Commands that change tasks, and what they share."""
