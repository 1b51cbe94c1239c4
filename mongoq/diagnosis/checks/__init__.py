"""The checks, one module for each kind of thing; `registry.CHECKS` has all of them."""
