"""One process among the idle ones of its namespace: it watches for new work, or it sleeps until it is called.

::

    presence ──beats, looks──▶ view: what part this process has, and who else is idle
    watcher ───events of the stream──▶ caller ──signals──▶ tails of the sleepers
    tail ───signals──▶ fetcher (work), presence (a watcher is missing)

`core/fleet.py` has the rules. None of it decides who runs a task: that is what claims are for. Whatever fails here
costs a delay, at most that of the poll below.
"""
