"""What `mongoq doctor` prints: findings that fit a terminal, and the checks that were not run."""

from __future__ import annotations

from mongoq.cli.doctor import lines
from mongoq.cli.printing.width import cells
from mongoq.diagnosis.facts import Host, Unread
from mongoq.diagnosis.finding import Diagnosis, Finding, Level, NotRun
from mongoq.diagnosis.registry import CHECKS, judge, judged
from tests.unit.diagnosis.plants import HEALTHY, PLANTS

EVERYTHING = [judge(*HEALTHY, *(plant.fact for plant in plants)) for plants in PLANTS.values()]
TEXT = f"{'a long name ' * 9}{'👍🏽❤️🇨🇭 ' * 9}{'鍵' * 60}{'x' * 200}\x1b[31m"


def test_a_finding_says_what_it_is_what_it_does_what_to_do_and_what_to_type() -> None:
    [plant] = PLANTS["server.ttl-monitor"]
    assert list(lines(judge(plant.fact), 80)) == [
        "FAULT    The server's TTL monitor is switched off",
        "         Finished tasks, heartbeats and history are never removed: the",
        "         collections grow without an end.",
        "         Switch it on; it was switched off by hand or by the server's",
        "         configuration.",
        '         $ mongosh "$MONGOQ_URI" --eval \'db.adminCommand({setParameter: 1,',
        "             ttlMonitorEnabled: true})'",
        "",
        "(1 fault)",
    ]


def test_in_a_pipe_a_command_is_one_line() -> None:
    [plant] = PLANTS["server.ttl-monitor"]
    printed = list(lines(judge(plant.fact), None))
    assert (
        "         $ mongosh \"$MONGOQ_URI\" --eval 'db.adminCommand({setParameter: 1, ttlMonitorEnabled: true})'"
        in printed
    )


def test_no_line_is_wider_than_the_terminal_whatever_things_are_called() -> None:
    odd = Finding(
        "queue.unserved", Level.FAULT, TEXT, f"No worker serves {TEXT}", "They wait.", "Wait.", f"mongoq {TEXT}"
    )
    for found in [*EVERYTHING, Diagnosis((odd,), (NotRun("queue.unserved", TEXT),))]:
        printed = list(lines(found, 80))
        assert [line for line in printed if cells(line) > 80] == []
        assert not any("\x1b" in line for line in printed)


def test_checks_that_were_not_run_are_named_together_by_their_reason() -> None:
    reads = {type(fact): fact for fact in HEALTHY} | {Host: Unread("the moon is full")}
    assert list(lines(judged(reads), 80)) == ["(nothing was found)", "Not run, since the moon is full: host.clock"]


def test_all_findings_of_all_plants_are_counted() -> None:
    planted = Diagnosis(tuple(one for found in EVERYTHING for one in found.findings))
    assert {one.check for one in planted.findings} == {one.name for one in CHECKS}
    last = list(lines(planted, 80))[-1]
    assert last.startswith("(") and "faults" in last and "warnings" in last and "notes" in last  # noqa: PT018
