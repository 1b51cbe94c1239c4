"""The documents of limits: their definitions, and what a task bears that is under some."""
