"""Everything that knows MongoDB; the only package that imports pymongo or bson.

Verbs of the trade are *operations*: generators that yield commands and are sent MongoDB's replies. They hold
no connection and no lock, read no clock but the context's, and may be abandoned at any `yield`: what stays
behind is at worst a lease that runs out. A driver runs them.

Operations: `enqueueing`, `claiming`, `leasing`, `finishing`, `upkeep`, `inspecting`, `administering`,
`membership`. What they are built from is pure: `documents` (the only module that writes a field's name),
`filters`, `updates`, `indexes`. I/O: `connection`, `driver`, `embedded`; `failures` translates its errors.
"""
