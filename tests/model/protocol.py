"""The protocol of one task, small enough to look at every state it can reach.

One document, as the primary has it and as a majority has it; two workers, a producer, sweeps; time in ticks. A
reply may be lost, a worker may stop for any time (it just takes no step) or die, the primary may be replaced by
one that lacks what no majority had, the server's clock may jump. Each rule can be broken by its name in `RULES`,
and then the search must find the promise that does not hold any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

LEASE: Final = 2
DRIFT: Final = 1  # how far the clock of whoever rescues may be ahead, and how long rescue waits beyond a lease
RULES: Final = (
    "no fence", "a counter as fence", "attempts at failure", "client clock", "w:1", "forget the token",
    "unguarded rescue", "unguarded promote", "rescue leaves last_token", "no last_token", "no version guard",
    "countdown from the reply", "no wait beyond the lease",
)  # fmt: skip


class Doc(NamedTuple):
    state: str = "ready"
    version: int = 1
    attempts: int = 0
    token: int = 0
    last: int = 0  # the token of the last accepted ending
    until: int = 0  # ticks until its lease ends, or until it is due
    claim: int = 0  # which claim it really is: no rule may look at it


class Worker(NamedTuple):
    phase: str = "idle"  # found, asked, held, ran, ended
    token: int = 0
    left: int = 0  # what its own countdown leaves of the lease
    attempts: int = 0
    version: int = 0
    claim: int = 0


class State(NamedTuple):
    doc: Doc | None = None
    safe: Doc | None = None  # what a majority has
    told_producer: bool = False
    workers: tuple[Worker, Worker] = (Worker(), Worker())
    seen: tuple[str, int] | None = None  # what a sweep found, and may write at any time later
    claims: int = 0
    starts: int = 0
    failovers: int = 0
    jumped: bool = False
    told: int = 0  # completions acknowledged
    fault: str = ""


class Rules(NamedTuple):
    broken: frozenset[str]
    claims: int
    failovers: int


class Found(NamedTuple):
    states: int
    fault: str
    trace: list[str]


Steps = Iterator[tuple[str, State]]
Works = Iterator[tuple[str, State, Worker]]
Changes = dict[str, Any]


def explore(*broken_rules: str, claims: int = 2, failovers: int = 1) -> Found:
    """Look at every state, nearest first, up to the first that breaks a promise; with the shortest way to it."""
    rules = Rules(frozenset(broken_rules), claims, failovers)
    came: dict[State, tuple[State, str] | None] = {State(): None}
    ahead = deque(came)
    while ahead:
        state = ahead.popleft()
        if fault := broken(state):
            trace: list[str] = []
            while before := came[_same(state)]:
                state, label = before
                trace.insert(0, label)
            return Found(len(came), fault, trace)
        for label, step in steps(state, rules):
            if _same(step) not in came:
                came[_same(step)] = state, label
                ahead.append(step)
    return Found(len(came), "", [])


def _same(s: State) -> State:
    """One state for two that differ only in which worker is which."""
    return s if s.workers[0] <= s.workers[1] else s._replace(workers=s.workers[::-1])


def broken(s: State) -> str:
    """The promise that does not hold here, or nothing."""
    if not s.jumped and all(w.phase in ("held", "ran") and w.left for w in s.workers):
        return "two workers believe that they hold a valid lease"
    if s.told > 1:
        return "two completions were accepted"
    if s.told and s.doc and s.doc.state != "completed":
        return "an acknowledged completion was lost"
    if s.told_producer and s.doc is None:
        return "an acknowledged task was lost"
    if s.doc and s.starts > s.doc.attempts:
        return "a start was not counted as an attempt"
    return s.fault


def steps(s: State, rules: Rules) -> Steps:
    """Everything that may happen next."""
    if s.doc is None:
        for told, step in _written(s, rules, Doc()):
            yield f"enqueue{_lost(told)}", step._replace(told_producer=told)
    elif s.safe and not s.told_producer:
        yield "enqueue again: it is there", s._replace(told_producer=True)
    if s.doc != s.safe:
        yield "a majority has it", s._replace(safe=s.doc)
        if s.failovers < rules.failovers:
            yield "fail-over: what no majority had is gone", s._replace(doc=s.safe, failovers=s.failovers + 1)
    if s.doc:
        yield "a tick passes", _later(s, 1, countdown=1)
        if not s.jumped:
            yield "the server's clock jumps ahead", _later(s, LEASE, countdown=0)._replace(jumped=True)
        for place, worker in enumerate(s.workers):
            for label, step, became in _work(s, rules, s.doc, worker):
                pair = (became, s.workers[1]) if place == 0 else (s.workers[0], became)
                yield f"{'AB'[place]} {label}", step._replace(workers=pair)
        yield from _sweep(s, rules, s.doc)


def _written(s: State, rules: Rules, doc: Doc) -> Iterator[tuple[bool, State]]:
    """The two ends of a write for whoever sent it: told, which is once a majority has it, or left without a reply."""
    yield True, s._replace(doc=doc, safe=s.safe if "w:1" in rules.broken else doc)
    yield False, s._replace(doc=doc)


def _lost(told: bool) -> str:
    return "" if told else ", the reply is lost"


def _later(s: State, ticks: int, *, countdown: int) -> State:
    doc, safe = (d and d._replace(until=max(d.until - ticks, -1)) for d in (s.doc, s.safe))
    first, second = (w._replace(left=max(w.left - countdown, 0)) for w in s.workers)
    return s._replace(doc=doc, safe=safe, workers=(first, second))


def _work(s: State, rules: Rules, doc: Doc, w: Worker) -> Works:
    if w.phase != "idle":
        yield "dies", s, Worker()
    if w.phase == "idle" and doc.state == "ready" and s.claims < rules.claims:
        yield "finds it", s, Worker("found", attempts=doc.attempts, version=doc.version)
    if w.phase == "found":
        yield from _claim(s, rules, doc, w)
    if w.phase == "asked":
        if s.safe and s.safe.state == "running" and s.safe.token == w.token:
            left = LEASE if "countdown from the reply" in rules.broken else w.left
            yield "looks up its claim", s, w._replace(phase="held", left=left)
        if not w.left:
            yield "gives its claim up", s, Worker()
        elif "forget the token" in rules.broken:
            orphan = "nobody knows of a claim that counts" if doc.claim == w.claim else ""
            yield "forgets its claim", s._replace(fault=orphan), Worker()
    if w.phase == "held" and w.left:
        yield "starts", s._replace(starts=s.starts + 1), w._replace(phase="ran")
    if w.phase in ("held", "ran", "ended"):
        yield from _end(s, rules, doc, w)


def _claim(s: State, rules: Rules, doc: Doc, w: Worker) -> Works:
    if doc.state != "ready" or (doc.version != w.version and "no version guard" not in rules.broken):
        yield "claims too late", s, Worker()
        return
    claim = s.claims + 1
    counted = "attempts at failure" not in rules.broken
    token = doc.version + 1 if "a counter as fence" in rules.broken else claim
    new = Doc("running", doc.version + 1, doc.attempts + counted, token, doc.last, LEASE, claim)
    fault = "a claim returned what is not stored" if w.attempts != doc.attempts else ""
    for told, step in _written(s._replace(claims=claim, fault=fault), rules, new):
        yield f"claims{_lost(told)}", step, Worker("held" if told else "asked", token, LEASE, claim=claim)


def _end(s: State, rules: Rules, doc: Doc, w: Worker) -> Works:
    """What a holder writes, or believes to: each write is guarded by its token."""
    if doc.state == "running" and (doc.token == w.token or "no fence" in rules.broken):
        s = s._replace(fault="" if doc.claim == w.claim else "a stale write was accepted")
        last = 0 if "no last_token" in rules.broken else doc.token
        done = Doc("completed", doc.version + 1, doc.attempts, 0, last, 0, doc.claim)
        counted = "attempts at failure" in rules.broken
        if w.phase != "ended":
            for told, step in _written(s, rules, doc._replace(until=LEASE)):
                yield f"renews{_lost(told)}", step, w._replace(left=LEASE if told else w.left)
        if w.phase == "ran":
            for told, step in _written(
                s, rules, done._replace(state="scheduled", until=1, attempts=doc.attempts + counted)
            ):
                yield f"fails{_lost(told)}", step, Worker()
        if w.phase != "held":
            for told, step in _written(s, rules, done):
                yield (
                    f"completes{_lost(told)}",
                    step._replace(told=s.told + told),
                    Worker() if told else w._replace(phase="ended"),
                )
    elif doc == s.safe or "w:1" in rules.broken:  # a write that matches nothing waits for a majority as well
        if w.phase == "ended" and doc.last == w.token:
            yield "completes again: it is done", s._replace(told=s.told + 1), Worker()
        else:
            wrong = w.phase == "ended" and doc.state == "completed" and doc.claim == w.claim
            yield "is too late", s._replace(fault="an accepted completion was called lost" if wrong else ""), Worker()


def _sweep(s: State, rules: Rules, doc: Doc) -> Steps:
    """What is found is written any time later, by anybody, as often as the guard lets it."""
    ahead = DRIFT + ("client clock" in rules.broken) - ("no wait beyond the lease" not in rules.broken)
    due = doc.state == "scheduled" and doc.until <= 0
    lost = doc.state == "running" and doc.until <= ahead
    ready = doc._replace(state="ready", version=doc.version + 1)
    if due or lost:
        yield "a sweep finds it", s._replace(seen=("promote", 0) if due else ("rescue", doc.token))
    if s.seen and s.seen[0] == "promote" and (due or "unguarded promote" in rules.broken):
        yield "a sweep promotes it", s._replace(doc=ready)
    if s.seen and s.seen[0] == "rescue" and ((lost and doc.token == s.seen[1]) or "unguarded rescue" in rules.broken):
        last = doc.token if "rescue leaves last_token" in rules.broken else doc.last
        yield "a sweep rescues it", s._replace(doc=ready._replace(token=0, last=last))
