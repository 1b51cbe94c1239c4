"""The collection `<namespace>.history`: sums of what happened in each minute, hour and day.

A row is one document for a step of time, a queue and a name; the row of no queue holds the sums of all. Its key is made
of these, so processes add to one row without looking whether it is there.
"""
