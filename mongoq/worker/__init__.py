"""The worker engine: threads over the blocking driver.

     claimer ──batches──▶ executor ──endings──▶ judge ──verdicts──▶ finisher ──batches──▶ MongoDB
        ▲                                                              │
        └────────── room, wake-ups, poll ◀─────────────────────────────┘
     keeper   renews every lease of this process in one update; notices lost leases and cancel requests
     watch    interrupts handlers at their deadline and at the end of a lease that could not be renewed
     sweeper  promotes what is due, rescues what was lost, expires what is too old
     waker    listens for news of work while the process is idle

Each of them is a service: `step()` does what is to be done now and returns how long nothing will be. One loop
(`service.Loop`) owns waiting, errors and shutdown for all. What they decide is pure and lies elsewhere
(`verdict.judge`, `LeaseBook.due`, `Prefetch.wanted`); no lock is held across a network call.

The engine knows operations and a `run` that runs them; it does not know `Queue`.
"""
