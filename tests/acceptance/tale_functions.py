"""The functions of the operator's tale: one release of `charge` fails in two ways."""

from __future__ import annotations

import os

from mongoq import Tasks

tasks = Tasks()


@tasks.task()
def charge(order: int) -> int:
    if os.environ["TALE_RELEASE"] == "bad":
        if order % 10 == 3:
            raise TimeoutError(f"the bank did not answer for order {order}")
        if order % 10 == 7:
            raise KeyError("card")
    return order


@tasks.task()
def greet(user: int) -> int:
    return user
