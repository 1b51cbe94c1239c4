"""`mongoq top`: what its keys do, and what its screen shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mongoq import Pause, Queue, QueueStats, Task, TaskError, TaskState, WorkerInfo
from mongoq.cli.acting.auditing import audited
from mongoq.cli.printing.width import cells
from mongoq.cli.watching.reading import Snapshot, read, retry, rows, toggle
from mongoq.cli.watching.screen import drawn
from mongoq.cli.watching.state import Act, Row, Todo, Top, View, pressed
from mongoq.testing import make_task, memory_queue

NOW = datetime(2026, 8, 1, 3, 0, tzinfo=UTC)
ROWS = [Row((name, 1), name, name, queue=name) for name in ("bank", "mail", "maps")]


def keys(top: Top, *typed: str) -> tuple[Top, list[Todo]]:
    done = []
    for key in typed:
        top, todo = pressed(top.settled(ROWS), key, ROWS)
        done += [todo] if todo is not None else []
    return top.settled(ROWS), done


def test_the_cursor_moves_and_stays_within_the_rows() -> None:
    assert keys(Top(), "down", "down", "down", "j")[0].mark == "maps"
    assert keys(Top(), "down", "up", "k")[0].mark == "bank"


def test_the_cursor_stays_on_its_row_when_the_order_changes() -> None:
    top, _ = keys(Top(), "down")
    turned = [ROWS[2], ROWS[0], ROWS[1]]
    assert top.settled(turned).cursor == 2
    assert pressed(top.settled(turned), "p", turned)[1] == Todo(Act.PAUSE, ROWS[1])
    gone = top.settled([ROWS[0], ROWS[2]])
    assert (gone.cursor, gone.mark) == (1, "maps")


def test_a_retry_asks_and_means_the_row_that_was_asked_about() -> None:
    asking, done = keys(Top(), "down", "r")
    assert not done
    assert pressed(asking.settled(ROWS[::-1]), "y", ROWS[::-1])[1] == Todo(Act.RETRY, ROWS[1])
    assert keys(Top(), "r", "n", "r", "escape")[1] == []
    assert keys(replace(Top(), view=View.TASKS), "r", "y")[1] == []


def test_a_filter_takes_all_keys_until_enter() -> None:
    top, done = keys(Top(), "/", "q", "backspace", "m", "a", "x", "backspace", "enter")
    assert (top.filter, top.typing, done) == ("ma", False, [])
    assert [row.id for row in top.shown(ROWS)] == ["mail", "maps"]
    assert keys(top, "escape")[0].filter == ""
    assert keys(replace(top, filter="nothing"), "p", "r")[1] == []
    assert keys(Top(), "q")[1] == [Todo(Act.QUIT)]


def test_the_tab_goes_through_the_views() -> None:
    assert [keys(Top(), *["tab"] * times)[0].view for times in (1, 2, 3)] == [View.FAILURES, View.TASKS, View.QUEUES]


def failed(number: int, error: str) -> Task:
    told = TaskError(error, f"no answer {number}\nmore", "", NOW, 1, "host:7:ab")
    return replace(make_task(key=f"k{number}", name="charge", state=TaskState.FAILED, now=NOW), last_error=told)


def snapshot(*tasks: Task) -> Snapshot:
    stats = {
        "bank": QueueStats("bank", ready=7, oldest_ready=timedelta(minutes=3)),
        "mail": QueueStats("mail", failed=2),
    }
    worker = WorkerInfo("host:7:ab", "host", 7, ("bank",), 4, 3, (), NOW, NOW - timedelta(minutes=1))
    return Snapshot(NOW, stats, [worker], [Pause("bank", None, "deploy", "ann", NOW, None)], list(tasks))


def test_queues_are_shown_with_what_is_paused() -> None:
    now = snapshot()
    first, second = rows(View.QUEUES, now)
    assert first.cells == ("bank", 7, 0, 0, 0, "3m", "by ann")
    assert second.cells[-1] == "-"
    lines = drawn(Top().settled([first, second]), now, [first, second], "shop", width=80, height=24)
    assert lines[0].text == "shop  03:00:00 UTC  1 worker, 1 silent, 3 of 4 handlers busy"
    assert lines[1].text.endswith("paused: queue bank")
    assert [line.style for line in lines[4:6]] == ["reverse", ""]
    assert len(lines) == 24


def test_failures_are_grouped_and_a_retry_goes_by_name_and_error() -> None:
    found = rows(View.FAILURES, snapshot(failed(1, "TimeoutError"), failed(2, "TimeoutError"), failed(3, "KeyError")))
    assert [row.cells for row in found] == [
        (2, "charge", "TimeoutError: no answer 1", "0s"), (1, "charge", "KeyError: no answer 3", "0s"),
    ]  # fmt: skip
    assert (found[0].queue, found[0].name, found[0].error) == (None, "charge", "TimeoutError")
    assert found[0].about == "TimeoutError of tasks named charge"


@pytest.mark.parametrize("width, height", [(80, 24), (40, 8), (30, 7)])
def test_the_screen_fits_and_shows_the_row_under_the_cursor(width: int, height: int) -> None:
    many = [Row((f"queue {'鍵' * 40}", n, 0, 0, 0, "3m", "-"), f"{n}", f"{n}", queue=f"{n}") for n in range(50)]
    top = replace(Top(), mark="40").settled(many)
    lines = drawn(top, snapshot(), many, "shop", width=width, height=height)
    assert len(lines) == height
    assert max(cells(line.text) for line in lines) <= width
    assert "40" in next(line.text for line in lines if line.style == "reverse").split()


def test_what_its_keys_do_is_in_the_audit() -> None:
    row = Row(("mail", 1), "mail", "mail", queue="mail")
    with memory_queue() as queue:
        queue.new(queue="mail")
        for _ in range(2):
            toggle(queue, row, read(queue, View.QUEUES))
        retry(queue, row)
        assert [one.act for one in queue.audits()] == ["retry_all", "resume", "pause"]
        assert queue.audits()[1].about == {"queue": "mail"}


def test_an_act_that_is_broken_off_shows_how_far_it_came() -> None:
    def broken_off(queue: Queue) -> None:
        with audited(queue, "cancel_all", {"queue": "mail"}) as tell:
            tell(2_000)
            assert [(one.count, one.ended_at) for one in queue.audits()] == [(2_000, None)]
            raise KeyboardInterrupt

    with memory_queue() as queue:
        with pytest.raises(KeyboardInterrupt):
            broken_off(queue)
        assert [(one.count, one.error) for one in queue.audits()] == [(2_000, "KeyboardInterrupt: ")]
