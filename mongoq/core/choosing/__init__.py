"""Which tasks an operator means."""
