"""The verbs of a queue, each named once: a table of contents of `api/` and of the folders of the features.

A verb that is read from a `Queue` blocks, and one that is read from an `AsyncQueue` is awaited: see `api/verb.py`. Type
checkers, editors and `help` find each through this class. The few whose arguments differ between the tempos, such as
`new` and `batch`, stand in the classes themselves. So do task functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from mongoq.api import buffer, claiming, ending, looking, waiting, working
from mongoq.api.base import Base
from mongoq.api.operators import acting, rerunning
from mongoq.auditing import verbs as auditing
from mongoq.core.events import Telemetry
from mongoq.core.host.health import WorkerHealth, together
from mongoq.diagnosis import verbs as diagnosis
from mongoq.flow import verbs as flow
from mongoq.functions.binding import registry_of
from mongoq.functions.tasks import AsyncTasks, Tasks
from mongoq.history import verbs as recorded
from mongoq.hooks.attached import Listening
from mongoq.limiting import verbs as limiting
from mongoq.paging import verbs as paging
from mongoq.pausing import verbs as pausing
from mongoq.scheduling import verbs as scheduling

F = TypeVar("F", bound=Callable[..., object])


class Verbs:
    """What `Queue` and `AsyncQueue` have in common: the verbs, and what neither blocks nor is awaited."""

    _base: Base

    # Producers
    submit = buffer.submit

    # Workers
    run = working.run
    run_once = working.run_once

    # By hand
    try_claim = claiming.try_claim
    claim = claiming.claim
    claim_many = claiming.claim_many
    claims = claiming.claims
    renew = claiming.renew
    keepalive = claiming.keepalive
    complete = ending.complete
    fail = ending.fail
    retry = ending.retry
    snooze = ending.snooze
    release = ending.release
    move = ending.move

    # Flow
    close_batch = flow.close_batch
    get_batch = flow.get_batch
    batches = flow.batches

    # Limits
    limit = limiting.limit
    limits = limiting.limits
    limit_state = limiting.limit_state
    limit_stats = limiting.limit_stats
    consume = limiting.consume
    delete_limit = limiting.delete_limit

    # Pauses
    pause = pausing.pause
    resume = pausing.resume
    pauses = pausing.pauses
    stop_worker = pausing.stop_worker

    # Schedules
    schedule = scheduling.schedule
    schedules = scheduling.schedules
    pause_schedule = scheduling.pause_schedule
    resume_schedule = scheduling.resume_schedule
    delete_schedule = scheduling.delete_schedule

    # Looking
    get = looking.get
    tasks = looking.tasks
    scan = looking.scan
    page = paging.page
    count = looking.count
    size = waiting.size
    empty = waiting.empty
    stats = looking.stats
    history = recorded.history
    history_of_names = recorded.history_of_names
    mark_release = recorded.mark_release
    queues = looking.queues
    workers = looking.workers
    namespaces = looking.namespaces
    wait = waiting.wait
    join = waiting.join
    time = looking.time
    standalone = looking.standalone
    diagnose = diagnosis.diagnose

    # Operating
    cancel = acting.cancel
    cancel_all = acting.cancel_all
    delete = acting.delete
    delete_all = acting.delete_all
    move_all = acting.move_all
    purge = acting.purge
    update = acting.update
    rerun = rerunning.rerun
    rerun_all = rerunning.rerun_all
    redrive = rerunning.redrive
    audit_begin = auditing.audit_begin
    audit_count = auditing.audit_count
    audit_end = auditing.audit_end
    audits = auditing.audits
    init = acting.init

    # Hooks and the object itself
    def stop(self) -> None:
        """Ask every worker of this object to stop, and return at once; may be called from a handler."""
        for handle in self._base.handles:
            handle.stop_soon()

    def health(self) -> WorkerHealth:
        """Tell whether the workers of this object are alive and working, for probes. It does no I/O."""
        return together(handle.health() for handle in self._base.handles)

    @property
    def namespace(self) -> str:
        """The prefix of the collections."""
        return self._base.context.namespace

    @property
    def claimant(self) -> str:
        """Who claims by hand through this object."""
        return self._base.claimant

    @property
    def on(self) -> Listening:
        """Call listeners for events: `queue.on(AttemptFailed, listener)`, or `@queue.on(AttemptFailed)`."""
        return self._base.hooks.on

    def middleware(self, function: F) -> F:
        """Run each attempt inside a generator, `@queue.middleware`: it gets the task (or the attempt and the task).

        Its `yield` is where the handler runs; the handler's error is raised there, and cannot be swallowed. The
        middleware that was added first is the outermost. An async generator is for coroutine handlers only.

        Raises:
            ConfigurationError: `function` is no generator function.
        """
        return self._base.hooks.add_middleware(function)

    def context(self, function: F) -> F:
        """Set the function that gives each new task its context, `@queue.context`; it is called at each enqueue.

        It returns a mapping, such as `{"tenant": tenant.get()}`, which handlers find as `task.context`. Values of
        `new(context=...)` override it. If it raises, nothing is enqueued, and the caller gets the error.

        Raises:
            ConfigurationError: `function` is no plain function.
        """
        return self._base.hooks.set_context(function)

    def lifespan(self, function: F) -> F:
        """Open what handlers share, `@queue.lifespan`: the value that the generator yields is `attempt.state`.

        It runs to its `yield` once in each process that runs handlers, child processes included, and on from there when
        the worker ends. If it raises before, `run` ends with its error. An async generator runs on the loop of
        coroutine handlers.

        Raises:
            ConfigurationError: `function` is no generator function.
        """
        return self._base.hooks.set_lifespan(function)

    @property
    def telemetry(self) -> Telemetry:
        """Low-level events, delivered in the threads of the workers: for tests and tools; an application uses `on`."""
        return self._base.telemetry

    def _include(self, tasks: Iterable[Tasks | AsyncTasks | Verbs]) -> None:
        for one in tasks:
            self._base.functions.include(registry_of(one))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.namespace!r} at {self._base.driver.connection.where}>"
