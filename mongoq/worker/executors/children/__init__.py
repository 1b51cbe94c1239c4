"""The children of the process executor: how they start, what they run, what they exchange with their parent.

A `Blueprint` starts a child, whose `program` runs one task at a time; `ChildProcess` is a child as its parent sees it.
`messages` and `outcome` hold what the two send to each other, `ending` ends a child and what its handler has started.
"""
