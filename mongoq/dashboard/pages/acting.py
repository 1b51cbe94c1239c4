"""Forms: an act is asked for, perhaps asked again with the number of tasks that it meets, and done."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mongoq import ConfigurationError, StorageUnavailable
from mongoq.dashboard.access import forgery
from mongoq.dashboard.access.rights import User
from mongoq.dashboard.pages.site import Site, away, base_of, render, say
from mongoq.dashboard.service.acts import ACTS
from mongoq.dashboard.service.view import view_from

LARGEST: Final = 256 * 1024
OWN: Final = (forgery.FIELD, "act", "sure", "back")


async def act(request: Request, site: Site, user: User) -> Response:
    """Do what a form asks for; ask first where it cannot be undone, or is for many tasks."""
    form = await _form(request)
    forgery.check(request, form.get(forgery.FIELD, ""))
    name = form.get("act", "")
    values = {field: value for field, value in form.items() if field not in OWN}
    back = _inside(request, form.get("back", ""))
    known = ACTS.get(name)
    if known is not None and known.asks is not None and form.get("sure") != "yes":
        user.check(*known.rights)
        count = await site.service.tally(user, view_from(values)) if known.many else None
        return render(
            request, site, user, "sure.html", act=name, question=known.asks, values=values, count=count, where=back,
            title="Are you sure?",
        )  # fmt: skip
    try:
        count_done = await site.service.act(user, name, values)
    except StorageUnavailable as error:
        return away(request, site, user, error, act=True, where=back)
    site.live.forget()
    site.service.answers.forget()
    if name == "delete" and "/task?" in back:
        back = f"{base_of(request)}/tasks"
    response = RedirectResponse(back, 303)
    say(request, response, ACTS[name].done.format(n=f"{count_done:,}"))
    return response


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise ConfigurationError(f"the form has more than {LARGEST:,} bytes")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise ConfigurationError("the form cannot be read") from None


def _inside(request: Request, given: str) -> str:
    """A path of the dashboard; its root where something else is given."""
    base = base_of(request)
    fits = given.startswith(f"{base}/") and not given.startswith("//") and "\\" not in given and given.isprintable()
    return given if fits else f"{base}/"
