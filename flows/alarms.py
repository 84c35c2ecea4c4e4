"""Alarms that go out: when a run ends as it should not, Prefect posts it to an address, by a block and an automation of its own.

python -m flows.alarms http://127.0.0.1:9000/hook       post there from now on; once more with another address changes it
python -m flows.alarms --off                            no more

Any other of Prefect's notification blocks (mail, Slack, Teams, …) is chosen in its pages: automation "soda alarms", action.
A run whose process was killed is started again by the watch, and nobody is called for it: only where that did not happen in time.
"""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from prefect.automations import Automation, EventTrigger, Posture
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.events.actions import SendNotification

from flows.server import project_server
from soda.common.errors import InputError, SodaError

NAME, LEFT, BLOCK = "soda alarms", "soda alarms: crashed and left", "soda-alarms"
STATES = ("Failed", "GivenUp", "SetAside", "Drift", "TimedOut")
"""Names of final states that somebody should hear of. NotBetter is none: nothing is to be done. PartFailed is none: the run that
it is a part of says so."""
PATIENCE = timedelta(minutes=5)
"""After which a run that is Crashed and was not started again is left so: no worker is up, or it was a run by hand."""
_SUBJECT = "{{ flow.name }}: {{ flow_run.state.name }}"
_BODY = "{{ flow_run.name }}\n{{ flow_run.state.message }}\n{{ flow_run|ui_url }}"


def switch_on(address: str, states: tuple[str, ...] = STATES, patience: timedelta = PATIENCE) -> None:
    """Post {subject, body} as JSON to that address whenever a run ends in one of those states, or is left Crashed so long.

    Raises InputError for what is no address of a web server.
    """
    if not address.startswith(("http://", "https://")):
        raise InputError(f"{address!r}: not an address of a web server; it must begin with http:// or https://")
    switch_off()
    posted = {"subject": "{{subject}}", "body": "{{body}}"}
    settings: dict[str, Any] = {"name": BLOCK, "url": address, "json_data": posted}
    block = CustomWebhookNotificationBlock(**settings)
    document = cast(UUID, block.save(BLOCK, overwrite=True))
    of_each: dict[str, Any] = {"match": {"prefect.resource.id": "prefect.flow-run.*"}, "for_each": {"prefect.resource.id"}}
    ended = EventTrigger(
        expect={f"prefect.flow-run.{state}" for state in states},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
        **of_each,
    )
    left = EventTrigger(
        after={"prefect.flow-run.Crashed"},
        expect={f"prefect.flow-run.{state}" for state in ("AwaitingRetry", "GivenUp", "Cancelled")},
        posture=Posture.Proactive,
        threshold=1,
        within=patience,
        **of_each,
    )
    for name, trigger in ((NAME, ended), (LEFT, left)):
        action = SendNotification(block_document_id=document, subject=_SUBJECT, body=_BODY)
        Automation(name=name, description="docs/operations.md, Alarms", trigger=trigger, actions=[action]).create()


def switch_off() -> bool:
    """Take the automations away. Returns whether there were any."""
    return [_taken_away(name) for name in (NAME, LEFT)] != [False, False]


def _taken_away(name: str) -> bool:
    try:
        found = cast(Automation, Automation.read(name=name))
    except ValueError:
        return False
    return bool(found.delete())


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.alarms", description=str(__doc__).partition("\n")[0])
    parser.add_argument("address", nargs="?", help="where alarms are posted to, e.g. http://127.0.0.1:9000/hook")
    parser.add_argument("--off", action="store_true", help="post no more")
    given = parser.parse_args(arguments)
    if bool(given.address) == given.off:
        parser.error("name an address, or --off")
    try:
        with project_server():
            if given.off:
                said = "alarms are off" if switch_off() else "there were none"
            else:
                switch_on(given.address)
                said = f"runs that end as {', '.join(STATES)}, or stay Crashed, are posted to {given.address}"
    except SodaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
