"""Commands that look at tasks: at many, at one, and at what failed."""
