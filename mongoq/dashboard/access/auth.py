"""Tell who sends a request: by a password, by the header of a proxy, or because they sit at this machine."""

from __future__ import annotations

import base64
import binascii
import inspect
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeAlias

from starlette.requests import Request

from mongoq.core.errors import ConfigurationError
from mongoq.dashboard.access.rights import Right, User, user

Role: TypeAlias = str | Iterable[Right]
Told: TypeAlias = User | str | None
Auth: TypeAlias = Callable[[Request], Told | Awaitable[Told]]
"""Who sends a request: a `User`, the name of a role, or None for nobody who may look."""

FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


class NotKnown(Exception):
    """Nobody is known to have sent this request."""

    def __init__(self, reason: str, challenge: str | None = None) -> None:
        super().__init__(reason)
        self.challenge = challenge
        """How a browser is to ask for a password."""


class Basic:
    """Ask for a name and a password, `basic({"ann": ("secret", "admin")})`; over TLS only, beyond this machine."""

    challenge: Final = 'Basic realm="mongoq", charset="UTF-8"'

    def __init__(self, users: Mapping[str, tuple[str, Role]]) -> None:
        self._users = {name: (password.encode(), user(name, role)) for name, (password, role) in users.items()}
        if not users or not all(password for password, _ in users.values()):
            raise ConfigurationError("users: each needs a password, and there is to be at least one")

    def __call__(self, request: Request) -> User | None:
        """The user whose name and password came with the request."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        expected, found = self._users.get(name, (secrets.token_bytes(), None))
        return found if secrets.compare_digest(expected, password.encode()) else None


def basic(users: Mapping[str, tuple[str, Role]]) -> Basic:
    """Make an `auth=` that asks for a password: `basic({"ann": (password, "admin"), "bob": (password, "viewer")})`."""
    return Basic(users)


def header(name: str, roles: Mapping[str, Role] | None = None, *, default: str | None = None) -> Auth:
    """Make an `auth=` that believes a proxy: the header that it sets names the user.

    The proxy must remove this header from what comes in, and nobody may reach the dashboard around it.

    Args:
        name: the header, such as `X-Forwarded-User`.
        roles: the role, or the rights, of users by name.
        default: the role of everybody else; None: they may not look.
    """
    known = {who: user(who, role) for who, role in (roles or {}).items()}
    if default is not None:
        user("", default)

    def told(request: Request) -> Told:
        who = request.headers.get(name)
        if not who:
            return None
        return known.get(who) or (user(who, default) if default is not None else None)

    return told


def local(role: Role) -> Auth:
    """Make an `auth=` that answers this machine alone, whose users have this role."""
    found = user("local", role)

    def told(request: Request) -> Told:
        _check_local(request)
        return found

    return told


async def identify(request: Request, auth: Auth | None) -> User:
    """The user who sends a request; NotKnown where it is nobody who may look."""
    if auth is None:
        _check_local(request)
        return user("local", "admin")
    told = auth(request)
    if inspect.isawaitable(told):
        told = await told
    if told is None:
        raise NotKnown("you are not known here, or may not look", getattr(auth, "challenge", None))
    return told if isinstance(told, User) else user("somebody", told)


def _check_local(request: Request) -> None:
    """NotKnown for whoever does not sit at this machine: a forwarded request may come from anywhere.

    One for another host is sent by a page that has had its name point here.
    """
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    forwarded = any(name in request.headers for name in FORWARDED)
    if forwarded or host not in LOCAL_NAMES or not _loopback(request.client.host if request.client else ""):
        raise NotKnown("without an auth= the dashboard answers this machine alone: see docs/dashboard.md")


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
