"""`mongoq top`: what happens now, on one screen, with keys to act."""
