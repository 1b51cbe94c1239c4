"""Read the facts of a diagnosis: each by bounded reads, so that none is slow or dear, however large the namespace."""
