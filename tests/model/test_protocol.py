from __future__ import annotations

import logging
import time

import pytest

from tests.model.protocol import explore

log = logging.getLogger(__name__)  # --log-cli-level=info shows the counter-examples

EXPECTED = {
    "no fence": "a stale write was accepted",
    "a counter as fence": "two hold a valid lease",
    "attempts at failure": "a start was not counted as an attempt",
    "client clock": "two hold a valid lease",
    "w:1": "an acknowledged task was lost",
    "forget the token": "nobody knows of a claim that counts",
    "unguarded rescue": "an acknowledged completion was lost",
    "unguarded promote": "an acknowledged completion was lost",
    "rescue leaves last_token": "an acknowledged completion was lost",
    "no last_token": "an accepted completion was called lost",
    "no version guard": "a claim returned what is not stored",
    "countdown from the reply": "two hold a valid lease",
    "no wait beyond the lease": "two hold a valid lease",
    "a lease goes back": "two hold a valid lease",
}


def told(fault: str, way: list[str]) -> str:
    return "\n".join([fault or "no promise is broken", *(f"  {step}" for step in way)])


def test_no_reachable_state_of_the_protocol_breaks_a_promise() -> None:
    start = time.monotonic()
    states, fault, way = explore()
    log.info("%d states in %.1f s: %s", states, time.monotonic() - start, told(fault, way))
    assert not fault, told(fault, way)
    assert states > 50_000


def test_nor_does_a_renewal_that_arrives_late() -> None:
    states, fault, way = explore(failovers=0, delays=1)
    assert not fault, told(fault, way)
    assert states > 50_000


@pytest.mark.long
@pytest.mark.parametrize("claims, failovers", [(3, 1), (2, 3)])
def test_nor_do_more_claims_or_fail_overs(claims: int, failovers: int) -> None:
    _, fault, way = explore(claims=claims, failovers=failovers)
    assert not fault, told(fault, way)


@pytest.mark.parametrize("rule", EXPECTED)
def test_a_broken_rule_breaks_a_promise(rule: str) -> None:
    states, fault, way = explore(rule)
    log.info("%s, after %d states: %s", rule, states, told(fault, way))
    assert fault == EXPECTED[rule]
    assert way
