"""Fairness: a share of the claims for the oldest tasks, and waiting that raises a priority. Strict is the default."""
