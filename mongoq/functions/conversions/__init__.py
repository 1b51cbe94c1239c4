"""What annotations mean for storage: each is compiled to a pair of functions, once, when a function is defined."""
