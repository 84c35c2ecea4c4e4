"""`make pipeline` that ends itself by SIGKILL before or after its n-th report of a state to Prefect.

python at_state.py N before|after FIRED ARGUMENTS-OF-flows.pipeline
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path[0] = os.getcwd()

from prefect.client.orchestration import SyncPrefectClient  # noqa: E402
from prefect.task_engine import SyncTaskRunEngine  # noqa: E402

from flows.pipeline import main  # noqa: E402
from flows.stopping import leave  # noqa: E402

left = int(sys.argv[1])


def _killing(owner: Any, name: str) -> None:
    plain = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        global left
        left -= 1
        if left == 0 and sys.argv[2] == "before":
            _end()
        answer = plain(*arguments, **named)
        if left == 0:
            _end()
        return answer

    setattr(owner, name, call)


def _end() -> None:
    Path(sys.argv[3]).write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _killing(SyncPrefectClient, "set_flow_run_state")
    _killing(SyncTaskRunEngine, "set_state")
    leave(main(sys.argv[4:]))
