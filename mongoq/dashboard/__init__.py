"""A dashboard in a browser: `mongoq dashboard`, or `app(queue)` mounted into an application of your own.

It knows the public API alone. Pages are HTML that is made here and can be read without JavaScript; a reader of its own
watches the namespace for all open tabs together (`live`). Who may do what is decided in `service`, for pages and acts
alike; `access` tells who somebody is.
"""

from mongoq.core.host.extras import needs

with needs("mongoq[dashboard]"):
    from mongoq.dashboard.access.auth import basic, header, local
    from mongoq.dashboard.access.rights import ROLES, Right, User
    from mongoq.dashboard.application import app

__all__ = ["ROLES", "Right", "User", "app", "basic", "header", "local"]
