"""What the flow does in a workspace, without Prefect: the lock, the mending, DVC, the stages up to one. A fifth of its start.

python bare.py STAGE. Some of the kills hit this; what comes after them is always the flow itself.
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path

sys.path[0] = os.getcwd()

from flows.dvc_client import Dvc, StageError  # noqa: E402
from flows.leftovers import sweep  # noqa: E402
from flows.lock import workspace_lock  # noqa: E402
from flows.processes import clear_dead_locks  # noqa: E402
from soda.common.safekeeping import mend  # noqa: E402


def main(until: str) -> int:
    """Returns the exit status."""
    root, anything = Path.cwd(), False
    with workspace_lock(root, str(uuid.uuid4())) as lock, Dvc(root, inherit=[lock]) as dvc:
        for _ in (mend(root), clear_dead_locks(root), sweep(root)):
            dvc.start()
        order = dvc.stage_order()
        changed = dvc.changed_stages()
        try:
            for stage in order[: order.index(until) + 1]:
                if anything or stage in changed:
                    anything = dvc.run_stage(stage).changed or anything
        except StageError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
