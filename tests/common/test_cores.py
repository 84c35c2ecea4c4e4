"""Work that several threads share."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from soda.common.cores import in_order


def test_results_come_in_order_and_few_items_are_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    def work(number: int) -> tuple[int, str]:
        time.sleep(0.01 if number % 5 == 0 else 0)
        return number, threading.current_thread().name

    results = in_order(work, items(), 2)
    assert next(results)[0] == 0 and len(taken) == 4
    rest = list(results)
    assert [number for number, _ in rest] == list(range(1, 50)) and len({name for _, name in rest}) == 2


def test_what_goes_wrong_in_a_thread_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda number: 1 // number, [2, 1, 0, 3], 2))


@pytest.mark.parametrize(("said", "wanted"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_every_command_waits_without_spinning_unless_the_environment_says_otherwise(said: str | None, wanted: str) -> None:
    """Asked in a process of its own, where nothing is loaded yet that would read it too early."""
    ask = (
        "import os, sys, soda.cli\ntry: soda.cli.main(['--help'])\n"
        "except SystemExit: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": said} if said else {}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{wanted} False"
