"""What all pages share: who looks, the templates, the headers that keep a page to itself, and errors as pages."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, unquote

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from mongoq import ConfigurationError, InvalidTask, MongoqError, StorageUnavailable, TaskNotFound
from mongoq.dashboard.access import forgery
from mongoq.dashboard.access.auth import Auth, NotKnown, identify
from mongoq.dashboard.access.rights import Forbidden, Right, User
from mongoq.dashboard.live import Live
from mongoq.dashboard.pages import wording
from mongoq.dashboard.service.service import NoSuchAct, Service

SAID: Final = "mongoq_said"
STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (Forbidden, 403), (TaskNotFound, 404), (NoSuchAct, 404), (ConfigurationError, 400), (InvalidTask, 400),
    (StorageUnavailable, 503), (LookupError, 404), (MongoqError, 409),
)  # fmt: skip
"""The status of a page for each error, the most specific first."""
HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Site:
    """The inside of one dashboard."""

    service: Service
    live: Live
    auth: Auth | None
    oldest: timedelta
    """How long a task may be due before the overview says so."""
    templates: jinja2.Environment
    title: str


Handler = Callable[[Request, Site, User], Awaitable[Response]]


@functools.cache
def templates() -> jinja2.Environment:
    """The templates: every value that they show is escaped.

    All are compiled at once, in 0.2 s of CPU, which the first who look at a page need not wait for.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("mongoq.dashboard"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    for name in ("span", "ago", "stamp", "number", "rate", "short", "pretty", "option"):
        made.filters[name] = getattr(wording, name)
    for name in made.list_templates():
        made.get_template(name)
    return made


def page(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint: tell who it is, and let each error be a page with its status."""

    @functools.wraps(handler)
    async def endpoint(request: Request) -> Response:
        site: Site = request.app.state.site
        user: User | None = None
        try:
            user = await identify(request, site.auth)
            user.check(Right.LOOK)
            return await handler(request, site, user)
        except NotKnown as unknown:
            challenge = {} if unknown.challenge is None else {"www-authenticate": unknown.challenge}
            status = 403 if unknown.challenge is None else 401
            return PlainTextResponse(f"{unknown}\n", status, {**HEADERS, **challenge})
        except StorageUnavailable as error:
            if user is None:
                raise
            act = request.method != "GET"
            return away(request, site, user, error, act=act, where=f"{base_of(request)}/" if act else None)
        except MongoqError as error:
            if user is None:
                raise
            status = next(code for kind, code in STATUS if isinstance(error, kind))
            return render(request, site, user, "problem.html", status, error=str(error), away=False, title="Not done")

    return endpoint


def away(
    request: Request, site: Site, user: User, error: StorageUnavailable, *, act: bool, where: str | None = None
) -> HTMLResponse:
    """Say that the database does not answer; a page comes by itself when it is back, an act is asked for again."""
    return render(
        request, site, user, "problem.html", 503, error=str(error), away=True, act=act, where=where or _here(request),
        title="The database is away",
    )  # fmt: skip


def render(request: Request, site: Site, user: User, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Make a page of a template."""
    token = forgery.token_of(request)
    text = site.templates.get_template(template).render(
        base=base_of(request), user=user, R=Right, token=token, site=site, path=request.url.path,
        said=unquote(request.cookies.get(SAID, "")), back=_here(request), namespace=site.service.gateway.namespace,
        at=site.live.time,
        **values,
    )  # fmt: skip
    response = HTMLResponse(text, status, HEADERS)
    where = base_of(request) or "/"
    if token != request.cookies.get(forgery.COOKIE):
        secure = request.url.scheme == "https"
        response.set_cookie(forgery.COOKIE, token, path=where, httponly=True, samesite="strict", secure=secure)
    if SAID in request.cookies:
        response.delete_cookie(SAID, path=where)
    return response


def say(request: Request, response: Response, text: str) -> None:
    """Let the next page say something."""
    response.set_cookie(SAID, quote(text), path=base_of(request) or "/", httponly=True, samesite="strict", max_age=60)


def base_of(request: Request) -> str:
    """Where the dashboard is mounted."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def _here(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
