"""Limits: how many tasks run at once, and how many start in a stretch of time, counted over the whole fleet.

A *limit* is one document of `<namespace>.control`, which every process reads with the pauses. A task names the limits
that it is under. Its *group* of a limit is all tasks with the same value of a tag (`by=`), or all tasks of the limit.
"""
