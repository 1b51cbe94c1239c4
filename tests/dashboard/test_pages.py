"""What each page shows, without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from mongoq import NewTask, Queue
from mongoq.dashboard import app
from mongoq.dashboard.pages import looking
from mongoq.dashboard.pages.looking import PAGES

Browse = Callable[..., Any]


def fail(queue: Queue, error: Exception, into: str = "default", **tags: Any) -> str:
    """A task that has failed."""
    task = queue.new(tags, queue=into, max_retries=0)

    def handler(_: Any) -> None:
        raise error

    queue.run_once(handler, queues=[task.queue])
    return task.key


@pytest.mark.parametrize("path", [*PAGES, "/tasks"])
def test_every_page_of_an_empty_namespace_says_what_to_do(browser: Any, path: str) -> None:
    text = browser.get(path)
    assert browser.status == 200
    assert "<h1" in text
    assert "None" not in text


@pytest.mark.usefixtures("any_oplog")
def test_the_doctor_tells_each_finding_with_what_to_do_and_what_to_type(queue: Queue, browse: Browse) -> None:
    queue.new(delay=3600)
    assert "Nothing was found" in browse().get("/doctor")
    queue.new(queue="mail")
    text = browse().get("/doctor")
    assert "No worker serves mail: 1 ready task" in text
    assert "They wait until one does." in text
    assert "mongoq worker --queues mail MODULE:QUEUE" in text
    assert "Checks that were not run" not in text, "the embedded server lets all of them run"


def test_the_overview_says_that_all_is_well_and_what_is_not(queue: Queue, browse: Browse) -> None:
    assert "All is well" in browse().get("/")
    queue.new(queue="mail")
    fail(queue, KeyError("user"), "shop")
    queue.pause("paint", reason="deploy", by="ann")
    text = browse().get("/")
    assert "No worker serves mail" in text
    assert "1 task failed within the last hour" in text
    assert "Queue paint is paused" in text
    assert "need" in text


def test_the_view_of_tasks_is_the_url(queue: Queue, browser: Any) -> None:
    queue.new_many(NewTask({"n": n}, queue="a" if n % 2 else "b", key=f"task-{n:02d}") for n in range(20))
    text = browser.get("/tasks?queue=a&state=ready&limit=3")
    assert [key for key in (f"task-{n:02d}" for n in range(20)) if key in text] == ["task-01", "task-03", "task-05"]
    after = text.partition('rel="next" href="?')[2].partition('"')[0].replace("&amp;", "&")
    assert "task-07" in browser.get(f"/tasks?{after}")
    assert "task-05" not in browser.text
    assert "task-13" in browser.get("/tasks?tag=n%3D13")
    assert "Looked at 20 tasks" in browser.text
    assert "task-12" not in browser.text
    assert "task-12" in browser.get("/tasks?prefix=task-12")


@pytest.mark.parametrize("query", ["state=paused", "limit=0", "limit=x", "since=yesterday", "tag=x", "after=zz"])
def test_a_view_that_cannot_be_read_is_refused_with_the_reason(browser: Any, query: str) -> None:
    text = browser.get(f"/tasks?{query}")
    assert browser.status == 400
    assert query.partition("=")[0] in text


def test_a_task_shows_its_life_its_errors_and_why_it_does_not_run(queue: Queue, browser: Any) -> None:
    key = fail(queue, ValueError("no <b>user</b>"), "mail", user=42, api_token="s3cr3t")
    text = browser.get(f"/task?key={key}")
    assert "ValueError" in text
    assert "no &lt;b&gt;user&lt;/b&gt;" in text
    assert "42" in text
    assert "s3cr3t" not in text
    assert "frames of libraries" in text
    waiting = queue.new(queue="mail")
    assert "No worker serves the queue" in browser.get(f"/task?key={waiting.key}")
    later = queue.new(queue="mail", delay=timedelta(hours=1))
    assert "It is scheduled" in browser.get(f"/task?key={later.key}")
    queue.pause("mail", reason="deploy")
    assert "Paused: queue mail is paused" in browser.get(f"/task?key={waiting.key}")
    browser.get("/task?key=none")
    assert browser.status == 404


def test_a_key_may_be_anything(queue: Queue, browser: Any) -> None:
    key = "ä/b?c&d=<e>\"'%2F"
    queue.new(key=key)
    text = browser.get("/tasks")
    link = text.partition('class="key" href="')[2].partition('"')[0]
    assert "&lt;e&gt;" in browser.get(link.replace("&amp;", "&"))
    assert browser.status == 200


def test_failures_are_grouped_by_what_is_alike(queue: Queue, browser: Any) -> None:
    for number in range(3):
        fail(queue, OSError(f"host 10.0.0.{number} is away"))
    fail(queue, KeyError("user"))
    text = browser.get("/failures")
    assert text.count('<article class="fault">') == 2
    assert text.index("OSError") < text.index("KeyError")


def test_workers_names_and_queues_are_shown(queue: Queue, browser: Any, until: Any) -> None:
    @queue.task(queue="mail")
    def welcome(user: int) -> None: ...

    welcome.new(1)
    handle = queue.start(queues=["mail"])
    until(queue.workers, why="the worker is there")
    assert "welcome" in browser.get("/names")
    assert "mail" in browser.get("/workers")
    assert "mail" in browser.get("/queues")
    handle.stop()


def test_names_come_by_pages_and_by_how_they_begin(queue: Queue, browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "ROWS", 2)
    for name in ("charge", "greet", "welcome"):
        queue.pause(name=name)
    text = browser.get("/names")
    assert re.findall(r'<th scope="row">(\w+)', text) == ["charge", "greet"]
    after = text.partition('rel="next" href="?')[2].partition('"')[0].replace("&amp;", "&")
    assert re.findall(r'<th scope="row">(\w+)', browser.get(f"/names?{after}")) == ["welcome"]
    assert re.findall(r'<th scope="row">(\w+)', browser.get("/names?prefix=g")) == ["greet"]
    assert "No name begins so" in browser.get("/names?prefix=x")


def test_limits_show_their_groups_and_are_changed_and_lifted(queue: Queue, browser: Any) -> None:
    queue.limit("tenant", concurrency=1, by="tenant")
    queue.limit("calls", rate=5, per=60)
    queue.limit("line", concurrency=1, by="account", order="fifo")
    queue.new_many([NewTask({"tenant": "acme"}, limits=["tenant"]) for _ in range(3)])
    queue.new(key="head", tags={"account": 7}, limits=["line"], delay=60)
    queue.new({"account": 7}, limits=["line"])
    held = queue.claim_many(limit=10)
    assert len(held) == 1
    text = browser.get("/limits")
    assert "at most 5 per 1 min" in text
    assert "1 run in 1 group, 1 in the fullest; 2 wait in 1 group" in text
    text = browser.get("/limits?name=line")
    assert "halted by" in text
    assert "key=head" in text
    text = browser.get("/limits?name=tenant")
    assert re.search(r"<code>acme</code></th><td class=\"n\">1</td><td class=\"n\">2</td>", text)
    browser.submit("edit_limit", name="tenant", concurrency="3")
    assert {one.name: one.concurrency for one in queue.limits()} == {"tenant": 3, "calls": None, "line": 1}
    browser.submit("delete_limit", name="tenant", sure="yes")
    assert [one.name for one in queue.limits()] == ["calls", "line"]


def test_batches_that_have_not_called_back_are_listed(queue: Queue, browser: Any) -> None:
    with queue.batch(key="thumbnails") as batch:
        batch.new_many([{}] * 3)
    with queue.batch(key="over") as over:
        over.new(queue="quick")
    queue.run_once(lambda _: None, queues=["quick"])
    assert [one.key for one in queue.batches()] == ["thumbnails"]
    text = browser.get("/batches")
    assert "0 of 3" in text
    assert "over" not in re.findall(r"/batch\?key=(\w+)", text)


def test_dead_letters_are_sent_home(queue: Queue, browser: Any) -> None:
    queue.new_many(NewTask(queue="mail/err") for _ in range(3))
    queue.new(queue="mail")
    text = browser.get("/dead")
    assert "mail/err" in text
    assert ">3</a>" in text
    assert "Redrive" in text


def test_it_runs_under_any_prefix(queue: Queue) -> None:
    outer = Starlette(routes=[Mount("/ops/mongoq", app(queue))])
    client = TestClient(outer, base_url="http://localhost", client=("127.0.0.1", 1))
    key = queue.new().key
    text = client.get("/ops/mongoq/").text
    assert 'href="/ops/mongoq/tasks' in text
    assert 'href="/tasks' not in text
    token = client.cookies["mongoq_token"]
    done = client.post(
        "/ops/mongoq/act", data={"token": token, "act": "cancel", "key": key, "sure": "yes", "back": "//evil"}
    )
    assert done.status_code == 200
    assert done.url.path == "/ops/mongoq/"
    assert queue.get(key).state == "cancelled"


def test_pages_need_nothing_from_elsewhere_and_allow_nothing_inline(queue: Queue, browse: Browse) -> None:
    fail(queue, ValueError("x"), a=1)
    client = browse().client
    for path in [*PAGES, "/tasks", f"/task?key={queue.page().tasks[0].key}"]:
        response = client.get(path)
        assert "unsafe" not in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert " style=" not in response.text
        assert "<style" not in response.text
        assert "onclick" not in response.text
        assert not re.findall(r'(?:src|href|action)="(?:[a-z]+:)?//[^"]*', response.text)
    assert client.get("/static/app.js").status_code == 200
    assert client.get("/static/uplot/LICENSE").status_code == 200


def test_the_history_is_read_without_scripts_by_queue_and_by_name(queue: Queue, browser: Any) -> None:
    assert "Workers have run nothing of this" in browser.get("/history?queue=fax")  # a busy server's views are kept
    tasks = [NewTask(queue="mail", name="welcome") for _ in range(7)]
    queue.new_many(tasks)
    queue.run(lambda _: None, queues=["mail"], burst=True)
    for path in ("/history", "/history?queue=mail", "/history?name=welcome&span=7d"):
        text = browser.get(path)
        rows = re.findall(r"</time></th><td class=.n.>[^<]*</td><td class=.n.>(.*?)</td><td class=.n.>(.*?)</td>", text)
        sums = [sum(int(told) for told in column if told.isdigit()) for column in zip(*rows, strict=True)]
        assert sums == [7, 7], f"{path}, also where a minute is over in between"
        assert "Run time" in text
    assert "Workers have run nothing" in browser.get("/history?queue=sms")
    assert "queue: " in browser.get("/history?queue=a%20b")
    assert browser.status == 400


def test_a_view_of_the_history_is_read_once_for_all_tabs(queue: Queue, browse: Browse) -> None:
    browser = browse(every=60)
    assert "Workers have run nothing of this" in browser.get("/history?queue=mail")
    queue.new(queue="mail")
    queue.run(lambda _: None, queues=["mail"], burst=True)
    assert "Workers have run nothing of this" in browser.get("/history?queue=mail"), "another tab asked a moment ago"
    assert "Run time" in browser.get("/history")
