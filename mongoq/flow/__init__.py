"""Flow: tasks that wait for other tasks, and batches that call back when their last member has ended.

A *child* waits, parked, until its *parents* have ended; who ends a parent looks for its children. A *batch* is a
document beside the tasks, whose members bear its key; who ends members asks whether one is left. Nothing is counted
down: a count could drift, a look cannot. What a crash leaves undone is found by an index and done by the next sweep.
Nothing here does I/O; `storage/operations/flow` does, and `mongoq.flow.verbs` are the verbs of a queue.
"""
