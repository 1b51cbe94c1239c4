"""Flow: tasks that wait for other tasks, and batches that call back when their last member has ended.

A *child* is parked until its *parents* have ended; the process that ends a parent looks for its children. A *batch* is
a document beside the tasks, and its members have its key; the process that ends members checks whether one is left.
There are no counters, which could drift. What a crash leaves undone is in an index, and the next sweep does it.
Nothing here does I/O; `storage/operations/flow` does, and `mongoq.flow.verbs` are the verbs of a queue.
"""
