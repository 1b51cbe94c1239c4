"""Schedules: when tasks are enqueued by time, as a cron expression or an interval says.

A *timing* says which instants are ticks. A *definition* is a timing with the task to be enqueued and the rules for
ticks that were missed or that come while the last run still goes. A *schedule* is a definition as it is stored, with
its next and its last tick. Nothing here does I/O; `storage/operations/schedules` enqueues what is due, and
`mongoq.scheduling.verbs` are the verbs of a queue.
"""
