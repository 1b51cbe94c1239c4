"""What a handler looks like, and how it is called."""
