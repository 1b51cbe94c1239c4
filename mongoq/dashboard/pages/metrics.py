"""`/metrics`: the fleet for Prometheus."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mongoq.dashboard.access.rights import User
from mongoq.dashboard.pages.site import HEADERS, Site
from mongoq.dashboard.service.exposition import TYPE, exposition


async def metrics(_: Request, site: Site, __: User) -> Response:
    """The figures of the newest snapshot, which is read anew where it is old."""
    return Response(exposition(await site.live.snapshot()), headers={**HEADERS, "content-type": TYPE})
