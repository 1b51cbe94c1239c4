"""Pauses: queues, names of tasks, or a whole namespace, of which no process claims until they are resumed.

A *pause* is one document of `<namespace>.control`. Each process knows those in force as its *gate*, which claims ask
before they look: a paused queue is left out of the filter, so that no claim walks over what it may not take. The gate
is read again within 1.5 s, or when a signal tells of a change.
"""
