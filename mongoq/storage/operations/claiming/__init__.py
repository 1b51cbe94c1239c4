"""Claim tasks: the most urgent first, each by exactly one claimant, under a fresh random token.

A batch is found through the claim index and taken by one guarded update, whose known effect is then applied to the
documents found. They are read again only when another claimant took some of them.

`first` claims one task in one step, `many` a batch, and `exactly` a task that is named or that depends on others.
`candidates` finds what may be claimed.
"""
