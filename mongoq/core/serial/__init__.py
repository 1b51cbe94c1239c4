"""Tasks in types that JSON carries, and back."""
