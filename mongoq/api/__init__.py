"""The public verbs, one file per family: signature, docstring, checks, operation."""
