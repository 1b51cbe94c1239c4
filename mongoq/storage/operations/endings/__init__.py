"""How endings are written together."""
