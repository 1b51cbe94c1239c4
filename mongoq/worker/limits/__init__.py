"""Limits in a worker: which tasks share a slot, and who gets what came free.

A worker with fast handlers claims many tasks for one slot. They form a *chain*, run one after the other, and the last
of them holds the slot. When it has ended the worker gives the slot to the next parked tasks by one claim.
"""
