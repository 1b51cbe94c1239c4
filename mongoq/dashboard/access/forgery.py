"""Refuse requests that another site has a browser send: by `Sec-Fetch-Site`, and by a token that only a page knows."""

from __future__ import annotations

import secrets
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from mongoq.dashboard.access.rights import Forbidden

COOKIE: Final = "mongoq_token"
FIELD: Final = "token"


def token_of(request: Request) -> str:
    """The token of this browser: the one of its cookie, or a fresh one, which the response has to set."""
    known = request.cookies.get(COOKIE, "")
    return known if len(known) == 43 else secrets.token_urlsafe(32)


def check(request: Request, given: str) -> None:
    """Forbidden where a request that changes something does not come from a page of the dashboard."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise Forbidden(f"another site has sent this request (Sec-Fetch-Site: {site})")
    origin = request.headers.get("origin")
    if site is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("another site has sent this request (Origin)")
    known = request.cookies.get(COOKIE, "")
    if not known or not secrets.compare_digest(known.encode(), given.encode()):
        raise Forbidden("the page was too old, or cookies are off: load it again, then try again")
