"""Limits at work: who of the tasks found gets a slot, who is parked, and who is let go when there is room again.

The invariant is the server's: a unique index has each slot once among the running tasks. Everything else is a hint
that may be late: a task is parked and then looked at once more, so that no room that came in between is missed, and a
sweep looks at every group with parked tasks, for what a crash left behind.
"""
