"""The protocol of one task, small enough to look at every state it can reach.

One document, as the primary has it and as a majority has it; two workers, a producer, sweeps; time in ticks. A reply
may be lost, a renewal may arrive late, a worker may stop for any time (it just takes no step) or die, the primary may
be replaced by one that lacks what no majority had, the server's clock may jump. Each rule can be broken, by the name
that stands where it is followed: then the search must find the promise that does not hold any more.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple


class Doc(NamedTuple):
    state: str = "absent"
    version: int = 1
    attempts: int = 0
    token: int = 0
    last: int = 0  # the token of the last accepted ending
    until: int = 0  # ticks until its lease ends, or until it is due
    claim: int = 0  # which claim it really is: no rule may look at it


class Worker(NamedTuple):
    phase: str = "idle"  # found, asked, held, ran, ended
    mine: Doc = Doc()  # as this worker knows the task
    left: int = 0  # what its own countdown leaves of the lease


class State(NamedTuple):
    broken: frozenset[str]
    most_claims: int
    failovers: int  # how many may still come
    doc: Doc = Doc()
    safe: Doc = Doc()  # what a majority has
    workers: tuple[Worker, ...] = (Worker(), Worker())
    late: tuple[int, int] | None = None  # a renewal on its way: its token, and the ticks until the end that it asks for
    delays: int = 0  # how many renewals may still be on their way for long
    seen: tuple[str, int] | None = None  # what a sweep found, and may write at any time later
    enqueued: bool = False  # acknowledged, as the completions are
    completed: int = 0
    claims: int = 0
    starts: int = 0
    jumped: bool = False
    fault: str = ""  # of the step that led here


LEASE: Final = 2
PROMISES: Final[dict[str, Callable[[State], object]]] = {
    "two hold a valid lease": lambda s: not s.jumped and all(w.left and w.phase != "asked" for w in s.workers),
    "two completions were accepted": lambda s: s.completed > 1,
    "an acknowledged task was lost": lambda s: s.enqueued and s.doc.state == "absent",
    "an acknowledged completion was lost": lambda s: s.completed and s.doc.state != "completed",
    "a start was not counted as an attempt": lambda s: s.starts > s.doc.attempts,
}


def explore(*broken: str, claims: int = 2, failovers: int = 1, delays: int = 0) -> tuple[int, str, list[str]]:
    """Look at every state, nearest first: how many, the first promise that breaks, and the shortest way there."""
    if "a lease goes back" in broken:
        delays = 1
    ahead, known = [(State(frozenset(broken), claims, failovers, delays=delays), list[str]())], set[State]()
    for state, way in ahead:
        if fault := next((promise for promise, breaks in PROMISES.items() if breaks(state)), state.fault):
            return len(known), fault, way
        for label, step in _steps(state):
            if (alike := step._replace(workers=tuple(sorted(step.workers)))) not in known:  # whichever is which
                known.add(alike)
                ahead.append((step, [*way, label]))
    return len(known), "", []


def _steps(s: State) -> Iterator[tuple[str, State]]:
    if s.doc.state == "absent":
        yield from _write("enqueue", Doc("ready"), s._replace(enqueued=True), s)
    if s.safe.state != "absent" and not s.enqueued:
        yield "enqueue again: it is there", s._replace(enqueued=True)
    yield "a majority has it", s._replace(safe=s.doc)  # a step that changes nothing leads to no new state
    if s.doc != s.safe and s.failovers:
        yield "fail-over: what no majority had is gone", s._replace(doc=s.safe, failovers=s.failovers - 1)
    for label, ticks, countdown in (("a tick passes", 1, 1), ("the server's clock jumps ahead", LEASE, 0)):
        doc, safe = (doc._replace(until=max(doc.until - ticks, 0)) for doc in (s.doc, s.safe))
        workers = tuple(w._replace(left=max(w.left - countdown, 0)) for w in s.workers)
        late = s.late and (s.late[0], max(s.late[1] - ticks, 0))
        yield label, s._replace(doc=doc, safe=safe, workers=workers, late=late, jumped=s.jumped or not countdown)
    if s.late:
        until = s.late[1] if "a lease goes back" in s.broken else max(s.doc.until, s.late[1])
        held = s.doc.state == "running" and s.doc.token == s.late[0]
        doc = s.doc._replace(until=until) if held else s.doc
        yield "a late renewal arrives", s._replace(doc=doc, late=None)
    yield from _sweep(s)
    for me in (0, 1):
        yield from ((f"{'AB'[me]} {label}", step) for label, step in (*_claim(s, me), *_end(s, me)))


def _write(label: str, doc: Doc, told: State, untold: State) -> Iterator[tuple[str, State]]:
    """The two ends of a write for whoever sent it: told, which is once a majority has it, or left without a reply."""
    yield label, told._replace(doc=doc, safe=told.safe if "w:1" in told.broken else doc)
    yield f"{label}, the reply is lost", untold._replace(doc=doc)


def _be(s: State, me: int, worker: Worker) -> State:
    return s._replace(workers=(worker, s.workers[1]) if me == 0 else (s.workers[0], worker))


def _claim(s: State, me: int) -> Iterator[tuple[str, State]]:
    w, doc = s.workers[me], s.doc
    if w.phase == "idle" and doc.state == "ready" and s.claims < s.most_claims:
        yield "finds it", _be(s, me, Worker("found", doc))
    unchanged = doc.version == w.mine.version or "no version guard" in s.broken
    if w.phase == "found" and doc.state == "ready" and unchanged:
        fault = "" if doc.attempts == w.mine.attempts else "a claim returned what is not stored"
        s = s._replace(claims=s.claims + 1, fault=fault)
        attempts = doc.attempts + ("attempts at failure" not in s.broken)
        token = doc.version + 1 if "a counter as fence" in s.broken else s.claims
        mine = Doc("running", doc.version + 1, attempts, token, doc.last, LEASE, s.claims)
        yield from _write("claims", mine, *(_be(s, me, Worker(phase, mine, LEASE)) for phase in ("held", "asked")))
    if w.phase == "asked" and s.safe.token == w.mine.token:
        left = LEASE if "countdown from the reply" in s.broken else w.left
        yield "looks up its claim", _be(s, me, Worker("held", w.mine, left))
    if w.phase == "asked" and "forget the token" in s.broken and w.left and doc.claim == w.mine.claim:
        yield "forgets its claim", _be(s, me, Worker())._replace(fault="nobody knows of a claim that counts")
    if w.phase == "held" and w.left:
        yield "starts", _be(s, me, w._replace(phase="ran"))._replace(starts=s.starts + 1)
    yield "dies, or gives up", _be(s, me, Worker())


def _end(s: State, me: int) -> Iterator[tuple[str, State]]:
    """What a holder writes: always guarded by its token."""
    w, doc = s.workers[me], s.doc
    fenced = doc.state != "running" or (doc.token != w.mine.token and "no fence" not in s.broken)
    s = s._replace(fault="" if fenced or doc.claim == w.mine.claim else "a stale write was accepted")
    idle, ended = (_be(s, me, became) for became in (Worker(), Worker("ended", w.mine)))
    if not fenced:
        last = 0 if "no last_token" in s.broken else doc.token
        done = doc._replace(state="completed", version=doc.version + 1, token=0, last=last, until=0)
        failed = done._replace(state="scheduled", attempts=doc.attempts + ("attempts at failure" in s.broken), until=1)
        if w.phase in ("held", "ran"):
            yield from _write("renews", doc._replace(until=LEASE), _be(s, me, w._replace(left=LEASE)), s)
        if w.phase == "held" and s.delays:
            yield "renews, and it takes long", s._replace(late=(w.mine.token, LEASE), delays=s.delays - 1)
        if w.phase == "ran":
            yield from _write("fails", failed, idle, idle)
        if w.phase in ("ran", "ended"):
            yield from _write("completes", done, idle._replace(completed=s.completed + 1), ended)
    elif w.phase == "ended" and (doc == s.safe or "w:1" in s.broken):  # what matches nothing waits for a majority, too
        if doc.last == w.mine.token:
            yield "completes again: it is done", idle._replace(completed=s.completed + 1)
        elif doc.state == "completed" and doc.claim == w.mine.claim:
            yield "is told that it is too late", idle._replace(fault="an accepted completion was called lost")


def _sweep(s: State) -> Iterator[tuple[str, State]]:
    """What is found is written any time later, by anybody, as often as the guard lets it."""
    early = ("client clock" in s.broken) + ("no wait beyond the lease" in s.broken)  # a clock may be ahead by a tick
    verb = {"scheduled": "promote", "running": "rescue"}.get(s.doc.state)
    found = (verb, s.doc.token) if verb and s.doc.until <= early else None
    yield "a sweep looks", s._replace(seen=found or s.seen)
    if s.seen and (s.seen == found or f"unguarded {s.seen[0]}" in s.broken):
        last = s.doc.token if "rescue leaves last_token" in s.broken and s.seen[0] == "rescue" else s.doc.last
        ready = s.doc._replace(state="ready", version=s.doc.version + 1, token=0, last=last)
        yield f"a sweep {s.seen[0]}s it", s._replace(doc=ready)
