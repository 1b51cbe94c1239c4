"""What happened and when: how many tasks started and ended, how long they waited and ran, how deep queues were.

Nothing here counts tasks in the database. Each worker process adds up what passes through it and writes the sums with
its heartbeat; one process at a time writes how deep the queues are. Waits and runs are kept as histograms, so sums of
many processes, minutes and names are added up, and a percentile can still be read off them.
"""
