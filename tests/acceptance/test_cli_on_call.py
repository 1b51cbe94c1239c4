"""The page for whoever is on call: what it says to type is typed here, in a night in which the bank is down."""

from __future__ import annotations

import re
import shlex

from mongoq import NewTask, Queue
from tests.acceptance.conftest import Cli
from tests.docs.pages import ROOT, blocks
from tests.docs.test_pages import check

PAGE = ROOT / "docs" / "operating" / "on-call.md"


def test_the_commands_about_a_failing_function_do_what_the_page_says(mongoq: Cli, queue: Queue) -> None:
    queue.new_many(NewTask({"order": n}, name="charge", key=f"charge-{n}") for n in range(3))
    for task in queue.claim_many(3):
        queue.fail(task, TimeoutError("bank.example:443"))
    mend = next(block.code for block in blocks(PAGE, "console") if "rerun" in block.code)

    pause, listed, shown, one, go_on, rest, after = _commands(mend)

    assert (mongoq(*pause).code, len(mongoq(*listed, "--json").json), mongoq(*shown).code) == (0, 3, 0)
    assert [told.reason for told in queue.pauses()] == ["the bank is down"]
    assert mongoq(*one, "--json").json == {"count": 1}
    assert (mongoq(*go_on).code, mongoq(*rest, "--json").json, mongoq(*after).code) == (0, {"count": 2}, 0)
    assert (queue.count(state="ready"), queue.pauses()) == (3, [])


def test_the_commands_of_the_table_of_symptoms_exist_with_their_options() -> None:
    table = PAGE.read_text().partition("| symptom |")[2].partition("\n\n")[0]
    commands = _commands("\n".join(re.findall(r"`(mongoq [^`]+)`", table)))
    assert len(commands) > 15
    for words in commands:
        check(words)


def _commands(text: str) -> list[list[str]]:
    lines = (line.replace("KEY", "charge-0").replace("NAME", "bank") for line in text.splitlines())
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("mongoq ")]
