"""Claims that heed those who wait, where a queue asks for that."""
