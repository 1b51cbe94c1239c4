"""Who may do what: each route and act for each role, requests of other sites, who is known, what is written down."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any, Final

import pytest
from starlette.requests import Request
from starlette.routing import Mount, Route

from mongoq import AsyncQueue, ConfigurationError, NewTask, Queue
from mongoq.dashboard import ROLES, Right, app, basic, header
from mongoq.dashboard.access.rights import Forbidden, user
from mongoq.dashboard.pages.looking import PAGES
from mongoq.dashboard.service.acts import ACTS
from mongoq.dashboard.service.hiding import HIDDEN, Hiding
from mongoq.dashboard.service.service import Service

Browse = Callable[..., Any]
MAY: Final = {
    "viewer": set(),
    "operator": {"retry", "run_now", "cancel", "move", "retry_all", "cancel_all", "pause", "resume", "redrive"},
    "admin": set(ACTS),
}
"""Written out, so that a change of a role is a change of this test."""


def as_role(role: Any) -> Callable[[Request], Any]:
    return lambda request: role


def routes_of(queue: Queue) -> list[tuple[str, str]]:
    found = []
    for route in app(queue).routes:
        if isinstance(route, Route):
            found += [(method, route.path) for method in sorted(route.methods or ()) if method != "HEAD"]
        else:
            assert isinstance(route, Mount)
            assert route.path == "/static"
    return found


@pytest.mark.parametrize("role", [*ROLES, None])
def test_every_route_for_every_role(queue: Queue, browse: Browse, role: str | None) -> None:
    queue.new(key="one")
    with queue.batch(key="b") as batch:
        batch.new()
    browser = browse(auth=as_role(role))
    for method, path in routes_of(queue):
        if path in ("/health", "/events"):  # the one says nothing, the other never ends: see below
            continue
        status = browser.client.request(method, f"{path}?key={'b' if path == '/batch' else 'one'}").status_code
        if role is None or method == "POST":
            expected = 403  # for a form there is no token
        else:
            expected = 403 if path in PAGES and PAGES[path][1] not in ROLES[role] else 200
        assert (path, status) == (path, expected)


def test_nobody_else_hears_of_events(browse: Browse) -> None:
    assert browse(auth=as_role(None)).client.get("/events").status_code == 403
    assert browse(auth=as_role(None)).client.get("/health").text == "ok\n"


@pytest.mark.parametrize("role", ROLES)
def test_every_act_for_every_role_in_the_service_and_not_in_the_page(queue: Queue, browse: Browse, role: str) -> None:
    queue.new(key="one")
    browser = browse(auth=as_role(role))
    browser.get("/")
    token = browser.client.cookies["mongoq_token"]
    for act in ACTS:
        before = len(queue.audits())
        browser.post({"token": token, "act": act, "sure": "yes", "key": "none", "name": "none", "worker": "none"})
        forbidden = browser.status == 403
        assert (act, forbidden) == (act, act not in MAY[role])
        assert len(queue.audits()) == before + (not forbidden), f"{act} is written down where it may be done"


def test_a_page_offers_only_what_may_be_done(queue: Queue, browse: Browse) -> None:
    queue.new(key="one")
    offered = {role: browse(auth=as_role(role)).get("/task?key=one").count("<form method=") for role in ROLES}
    assert offered["viewer"] == 0
    assert offered["viewer"] < offered["operator"] < offered["admin"]


def test_single_rights(queue: Queue, browse: Browse) -> None:
    queue.new({"user": 42}, key="one")
    text = browse(auth=lambda _: user("bob", [Right.LOOK, Right.CANCEL])).get("/task?key=one")
    assert "You may not see arguments" in text
    assert "42" not in text.partition("<h2>Arguments")[2].partition("<h2>Facts")[0]
    assert 'value="cancel"' in text
    with pytest.raises(ConfigurationError, match="'fly' is none of"):
        user("bob", ["fly"])
    with pytest.raises(ConfigurationError, match="'king' is none of"):
        user("bob", "king")


@pytest.mark.parametrize(
    "options, headers",
    [
        ({"client": ("203.0.113.7", 1)}, {}),
        ({}, {"x-forwarded-for": "203.0.113.7"}),
        ({}, {"forwarded": "for=203.0.113.7"}),
        ({}, {"host": "rebound.example:8000"}),
    ],
    ids=str,
)
def test_without_auth_only_this_machine_is_answered(browse: Browse, options: Any, headers: Any) -> None:
    browser = browse(**options)
    for path in ("/", "/tasks", "/events"):
        browser.get(path, headers=headers)
        assert browser.status == 403
        assert "this machine alone" in browser.text


def test_basic_asks_for_a_password(browse: Browse) -> None:
    browser = browse(auth=basic({"ann": ("sésame", "admin"), "bob": ("b", "viewer")}), client=("203.0.113.7", 1))
    browser.get("/")
    assert browser.status == 401
    assert browser.client.get("/").headers["www-authenticate"].startswith("Basic")
    for pair, status in (("ann:sésame", 200), ("ann:wrong", 401), ("eve:sésame", 401), ("ann", 401), ("bob:b", 200)):
        given = base64.b64encode(pair.encode()).decode()
        browser.get("/", headers={"authorization": f"Basic {given}"})
        assert (pair, browser.status) == (pair, status)
    browser.get("/", headers={"authorization": "Basic ***"})
    assert browser.status == 401
    with pytest.raises(ConfigurationError, match="password"):
        basic({"ann": ("", "admin")})


def test_a_proxy_names_the_user(browse: Browse) -> None:
    browser = browse(auth=header("X-User", {"ann": "admin"}, default="viewer"))
    assert browser.get("/", headers={"x-user": "ann"}).count("Audit")
    assert not browser.get("/", headers={"x-user": "bob"}).count("Audit")
    browser.get("/")
    assert browser.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
    ids=str,
)
def test_a_form_of_another_site_is_refused(queue: Queue, browser: Any, headers: dict[str, str]) -> None:
    queue.new(key="one")
    browser.get("/task?key=one")
    token = browser.client.cookies["mongoq_token"]
    fields = {"token": token, "act": "cancel", "key": "one", "sure": "yes"}
    browser.post(fields, headers=headers)
    assert browser.status == 403
    browser.post({**fields, "token": "x" * 43})
    assert browser.status == 403
    assert queue.get("one").state == "ready"
    browser.post(fields, headers={"sec-fetch-site": "same-origin", "origin": "http://localhost"})
    assert queue.get("one").state == "cancelled"


def test_acts_are_done_and_written_down(queue: Queue, browse: Browse) -> None:
    queue.new_many(NewTask({"n": n}, queue="mail", key=f"k{n}") for n in range(5))
    browser = browse(auth=lambda _: user("ann", "admin"))
    browser.get("/task?key=k0")
    assert "Cancel this task?" in browser.submit("cancel")
    assert queue.get("k0").state == "ready"
    assert "The task is cancelled" in browser.submit("cancel")
    browser.submit("retry")
    assert queue.get("k0").state == "ready"
    browser.submit("edit", priority="7", tags='{"password": "x"}')
    assert (queue.get("k0").priority, queue.get("k0").tags["password"]) == (7, "x")
    assert "x" not in browser.text.partition("password</dt>")[2].partition("</dd>")[0].replace(HIDDEN, "").replace(
        "dd", ""
    )
    browser.submit("edit", priority="8", version="1")
    assert browser.status == 409
    browser.get("/tasks?queue=mail&state=ready")
    assert "<b>5</b> tasks match" in browser.submit("cancel_all")
    assert "5 tasks cancelled" in browser.submit("cancel_all")
    found = queue.audits()
    assert [(one.act, one.by, one.count) for one in reversed(found)] == [
        ("cancel", "ann", 1), ("retry", "ann", 1), ("edit", "ann", 1), ("edit", "ann", 0), ("cancel_all", "ann", 5),
    ]  # fmt: skip
    assert found[0].about == {"queue": "mail", "state": "ready"}
    assert all(one.ended_at for one in found)
    assert [bool(one.error) for one in reversed(found)] == [False, False, False, True, False]
    assert "cancel_all" in browser.get("/audit")


def test_failed_tasks_are_retried_by_their_error(queue: Queue, browser: Any) -> None:
    def handler(task: Any) -> None:
        raise KeyError("a") if task.tags["n"] % 2 else OSError("b")

    queue.new_many(NewTask({"n": n}, max_retries=0) for n in range(320))  # more than a page of each
    queue.run(handler, burst=True)
    browser.get("/failures")
    browser.get("/tasks?state=failed&error=KeyError&since=1h")
    assert "<b>160</b> tasks match" in browser.submit("retry_all")
    assert "160 tasks run again" in browser.submit("retry_all")
    assert {task.tags["n"] % 2 for task in queue.tasks(state="ready")} == {1}
    assert queue.count(state="failed") == 160


def test_an_act_that_is_broken_off_shows_as_that(queue: Queue) -> None:
    entry = queue.audit_begin("cancel_all", by="ann", about={"queue": "mail"})
    queue.audit_count(entry.id, 1_000)
    queue.audit_count(entry.id, 500)
    (found,) = queue.audits()
    assert (found.count, found.ended_at, found.error) == (1_000, None, None)
    queue.audit_end(entry.id, count=2_000, error="KeyError: x")
    assert (queue.audits()[0].count, queue.audits()[0].error) == (2_000, "KeyError: x")
    second = queue.audit_begin("pause", by="bob")
    assert [one.id for one in queue.audits()] == [second.id, entry.id]
    assert [one.id for one in queue.audits(after=second.id)] == [entry.id]


def test_the_service_itself_refuses(server: Any) -> None:
    async def body() -> None:
        async with AsyncQueue(server.uri) as queue:
            service = Service(queue, Hiding())
            for act in ACTS:
                with pytest.raises(Forbidden):
                    await service.act(user("bob", [Right.LOOK]), act, {})

    asyncio.run(body())


@pytest.mark.parametrize(
    "name", ["password", "userPassword", "API-Key", "x_api_key", "AccessToken", "pin", "card_pin", "sessionCookie"]
)
def test_secrets_are_hidden_by_their_names(name: str) -> None:
    assert Hiding().shown({"a": [{name: "s3cr3t"}]}) == {"a": [{name: HIDDEN}]}


@pytest.mark.parametrize("name", ["shipping", "spinner", "user", "pincode_area", "obsession"])
def test_other_names_are_shown(name: str) -> None:
    assert Hiding().shown({name: 1}) == {name: 1}


def test_a_function_of_the_user_hides_what_it_likes() -> None:
    def redact(path: str, value: Any) -> Any:
        return "gone" if path == "user.mail" else value

    assert Hiding(redact=redact).shown({"user": {"mail": "a@b", "id": 1}}) == {"user": {"mail": "gone", "id": 1}}
