"""The dashboard in a real Chromium, on a server of its own with a working fleet. Skipped where there is no browser."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mongoq import NewTask, Queue
from mongoq.dashboard.pages.looking import PAGES
from mongoq.embedded.server import EmbeddedServer
from tests.dashboard.conftest import CHROMIUM, Served
from tests.dashboard.door import Door

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def test_an_operator_finds_retries_cancels_pauses_and_reschedules(queue: Queue, served: Served, page: Any) -> None:
    def handler(_: Any) -> None:
        raise KeyError("user")

    queue.new_many(NewTask({"n": n}, queue="mail", max_retries=0) for n in range(3))
    queue.run(handler, queues=["mail"], burst=True)
    queue.new_many(NewTask({"n": n}, queue="bulk") for n in range(4))
    queue.schedule("nightly", "0 3 * * *", NewTask(queue="mail"))
    page.goto(served.url)
    page.get_by_role("link", name="3 tasks failed within the last hour").click()
    page.get_by_role("link", name="Newest").click()
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("status").wait_for()
    assert queue.count(state="ready", queue="mail") == 1
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Tasks").click()
    page.get_by_label("Queue").fill("bulk")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name="ready", exact=True).click()
    page.wait_for_url("**/tasks?state=ready&queue=bulk")
    page.get_by_role("button", name="Cancel all…").click()
    page.get_by_text("4 tasks match").wait_for()
    page.get_by_role("button", name="Yes").click()
    page.get_by_text("4 tasks cancelled").wait_for()
    assert queue.count(state="cancelled") == 4
    page.goto(f"{served.url}/queues")
    page.get_by_role("row", name="mail").get_by_role("button", name="Pause").click()
    page.get_by_text("Paused: nothing of it is claimed").wait_for()
    assert [pause.queue for pause in queue.pauses()] == ["mail"]
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Schedules").click()
    page.get_by_label("Expression").fill("30 4 * * *")
    page.get_by_role("button", name="Change").click()
    page.get_by_text("The schedule is changed").wait_for()
    assert [one.cron for one in queue.schedules()] == ["30 4 * * *"]
    served.role = "viewer"
    page.goto(f"{served.url}/tasks?queue=mail&state=failed")
    assert page.get_by_role("button").all_inner_texts() == ["Filter"]


def test_figures_move_and_the_server_is_lost_and_back(
    queue: Queue, served: Served, page: Any, until: Callable[..., None]
) -> None:
    page.goto(served.url)
    page.get_by_text("All is well").wait_for()
    page.locator("#live", has_text="live").wait_for()
    queue.new_many(NewTask(queue="mail") for _ in range(12))
    page.get_by_text("No worker serves mail").wait_for()
    assert page.locator(".tiles a").first.locator("b").inner_text() == "12"
    page.get_by_text("more come than are taken").wait_for()
    page.locator("[data-chart] canvas").wait_for()
    served.stop()
    page.locator("#live.away").wait_for()
    queue.cancel_all(queue="mail")
    served.start()
    page.get_by_text("All is well").wait_for()


@pytest.mark.long
def test_mongodb_is_lost_and_back(queue: Queue, server: EmbeddedServer, page: Any) -> None:
    door = Door(int(server.uri.partition("127.0.0.1:")[2].partition("/")[0]))
    uri = f"mongodb://127.0.0.1:{door.port}/?directConnection=true&serverSelectionTimeoutMS=500&connectTimeoutMS=500"
    queue.new(queue="mail")
    with Queue(uri, namespace=queue.namespace) as behind:
        served = Served(behind)
        try:
            page.goto(f"{served.url}/queues")
            page.locator("#live", has_text="live").wait_for()
            page.get_by_role("link", name="History of mail").wait_for()
            door.shut()
            page.locator("#live.away", has_text="database away").wait_for(timeout=60_000)
            page.get_by_role("row", name="mail").get_by_role("button", name="Pause").click()
            page.get_by_role("heading", name="The database is away").wait_for(timeout=60_000)
            assert "no MongoDB" in page.get_by_role("alert").inner_text()
            page.get_by_role("link", name="Back").click()
            page.get_by_role("heading", name="The database is away").wait_for(timeout=60_000)
            assert page.url == f"{served.url}/queues"
            assert queue.pauses() == []
            door.open()
            page.get_by_role("heading", name="Queues").wait_for(timeout=60_000)  # nobody has loaded it anew
            page.get_by_role("row", name="mail").get_by_role("button", name="Pause").click()
            page.get_by_text("Paused: nothing of it is claimed").wait_for(timeout=60_000)
            assert [pause.queue for pause in queue.pauses()] == ["mail"]
        finally:
            served.stop()
            door.shut()


def test_a_chart_of_the_history_moves(queue: Queue, served: Served, page: Any) -> None:
    def ran(count: int) -> None:
        queue.new_many(NewTask(queue="mail") for _ in range(count))
        queue.run(lambda _: None, queues=["mail"], burst=True)

    ran(3)
    page.goto(f"{served.url}/history?queue=mail")
    canvas = page.locator("[data-chart] canvas").first
    before = canvas.evaluate("one => one.toDataURL()")
    ran(40)
    page.wait_for_function(
        "before => document.querySelector('[data-chart] canvas')?.toDataURL() !== before", arg=before, timeout=30_000
    )
    started = page.locator("table.history tbody tr td:nth-child(3)").all_inner_texts()
    assert sum(int(one) for one in started) == 43
    page.goto(served.url)
    page.get_by_role("heading", name="Tasks per minute").wait_for()
    page.get_by_role("link", name="History of waits, runs and depth").click()
    page.wait_for_url("**/history")


def test_one_reader_serves_many_tabs_and_rests_when_nobody_looks(
    served: Served, chromium: Any, until: Callable[..., None]
) -> None:
    live = served.made.state.site.live
    tabs = [chromium.new_page() for _ in range(4)]
    for tab in tabs:
        tab.goto(served.url)
    until(lambda: live.watchers == 4, why="each tab watches")
    before = live.reads
    until(lambda: live.reads >= before + 2, why="the fleet is read")
    for tab in tabs:
        tab.close()
    until(lambda: live.watchers == 0, why="closed tabs are gone")


def test_keys_lead_to_the_pages(served: Served, page: Any) -> None:
    page.goto(served.url)
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url("**/queues")
    page.keyboard.press("/")
    page.keyboard.type("some-key")
    page.keyboard.press("Enter")
    page.wait_for_url("**/task?key=some-key")
    page.get_by_role("alert").wait_for()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the source of axe-core, fetched for this test alone: its licence keeps it out of this repository."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm to fetch axe-core with")
    folder = tmp_path_factory.mktemp("axe")
    fetched = subprocess.run(
        ["npm", "install", "--silent", "--no-save", "--prefix", str(folder), "axe-core@4"],  # noqa: S607 -- of the path
        check=False, capture_output=True, timeout=120,
    )  # fmt: skip
    source = folder / "node_modules/axe-core/axe.min.js"
    if fetched.returncode or not source.exists():
        pytest.skip("axe-core could not be fetched")
    return Path(source).read_text()


def test_every_page_is_accessible_and_fits_a_narrow_screen(
    queue: Queue, served: Served, chromium: Any, axe: str
) -> None:
    def handler(task: Any) -> None:
        raise KeyError("user")

    failed = queue.new({"user": 42}, queue="mail", max_retries=0)
    queue.run_once(handler, queues=["mail"])
    queue.new_many(NewTask(queue=f"q{n}") for n in range(3))
    queue.pause("q1", reason="deploy")
    queue.schedule("nightly", "0 3 * * *", NewTask(queue="mail"))
    queue.limit("tenant", concurrency=1, by="tenant")
    queue.new_many([NewTask({"tenant": "acme"}, queue="mail/err", limits=["tenant"]) for _ in range(2)])
    queue.claim_many(queues=["mail/err"], limit=2)
    queue.new(queue="mail/err")
    with queue.batch(key="thumbnails") as batch:
        batch.new_many([{}] * 2)
    queue.run(lambda _: None, queues=["q0"], burst=True)  # its worker leaves a history
    rules = {"light": [], "dark": ["color-contrast", "scrollable-region-focusable"]}  # what else could differ
    for scheme, width in (("light", 390), ("dark", 1280)):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True  # axe is put into the page
        )  # fmt: skip
        page = context.new_page()
        for path in [*PAGES, "/tasks?state=failed", f"/task?key={failed.key}", "/batch?key=thumbnails"]:
            page.goto(f"{served.url}{path}")
            page.evaluate(axe)
            found = page.evaluate("rules => axe.run(rules.length ? {runOnly: rules} : {})", rules[scheme])["violations"]
            assert [(path, scheme, one["id"], [node["target"] for node in one["nodes"]]) for one in found] == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is too wide"
        context.close()
