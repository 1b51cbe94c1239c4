"""The worker engine: threads over the blocking driver.

     fetcher ──batches──▶ executor ──outcomes──▶ decide ──verdicts──▶ finisher ──batches──▶ MongoDB
        ▲                          all by way of the ledger                │
        └────────── room, wake-ups (change stream, local, poll) ◀──────────┘
     renewer   renews every lease of this process in one update; notices lost leases and cancel requests
     watchdog  interrupts handlers at their deadline; releases tasks that wait behind long handlers
     watcher   promotes what is due, rescues what was lost, expires what is too old; listens while the process is idle

Each of them is a service: `step(now)` does what is to be done now and returns how long nothing will be. One loop
(`services.loop.Loop`) owns waiting, errors and shutdown for all, and tells the time. Services share the ledger, which
has every attempt by its stage (`stages.py`), and do not call each other: they say what is worth waking
(`Runtime.wake`). What they decide is pure and lies elsewhere (`verdict.judge`, `Ledger.due`, `Prefetch.wanted`); no
lock is held across a network call.

The engine knows operations and a `run` that runs them; it does not know `Queue`.
"""
