"""Tell open tabs that there is something new, by server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mongoq.dashboard.access.rights import User
from mongoq.dashboard.pages.site import HEADERS, Site
from mongoq.dashboard.service.snapshot import problems


async def events(_: Request, site: Site, __: User) -> Response:
    """One event for each time that the fleet was read: how bad it looks, or that the database is away."""

    async def told() -> AsyncIterator[str]:
        yield "retry: 3000\n\n"
        async for now in site.live.watch():
            if now is None:
                yield "event: away\ndata: \n\n"
                continue
            found = problems(now, site.oldest)
            yield f"event: tick\ndata: {found[0].level if found else 'good'}\n\n"

    return StreamingResponse(told(), headers={**HEADERS, "x-accel-buffering": "no"}, media_type="text/event-stream")
