"""What becomes of a new task whose key or `unique` value is taken.

`skip` returns the task that has it. `replace`, `extend` and `again` change that task instead, if it has the `unique`
value: one that waits gets another time, and its content with `replace`; one that runs is asked to run once more. The
request is written into the running task, where its ending finds it: an ending of a task with a `unique` value is
guarded by `again: null`, so that none is overlooked, and one that was refused by it makes the task wait again.
"""
