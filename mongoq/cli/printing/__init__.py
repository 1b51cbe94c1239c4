"""Make text fit a terminal: tables of any width, and long lines."""
