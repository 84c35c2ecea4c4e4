"""A flow that is a part of another's run: the run as a whole says how it ended, and calls people, once."""

from __future__ import annotations

from typing import Any

from prefect.runtime import flow_run
from prefect.states import Failed, State

PART_FAILED = "PartFailed"


def told(state: State[Any]) -> State[Any]:
    """The state under another name, PartFailed, where a part failed; any other, and that of a run of its own, as it is."""
    if state.name == "Failed" and flow_run.get_parent_flow_run_id():
        return Failed(name=PART_FAILED, message=state.message)
    return state
