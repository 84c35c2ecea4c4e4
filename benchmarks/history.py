"""What earlier runs of `make bench` on the same kind of machine gave, and what has got slower since."""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from soda.common.files import write_json

KEPT = 50  # runs, of all kinds of machine
TOLERANCE = 0.1  # of the value before; two runs of one machine differ by less where nothing else runs on it
FASTER, SLOWER = ("/s",), ("ms", "us", "s", "MB", "MiB", "kB")
"""Ends of units of which more is better, and units of which less is. Shares are compared with nothing."""
EXTENSIONS = ("avx2", "avx512f", "avx512_vnni", "amx_bf16", "asimd", "sve")

Values = dict[str, tuple[float, str]]
"""Name of a figure -> value and unit."""


def kind_of_machine() -> str:
    """Machines of which figures can be held against one another: processor, its extensions, cores, torch."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.exists() else []:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            flags = set(value.split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join([name, *(each for each in EXTENSIONS if each in flags), f"{cores} cores", f"torch {torch.__version__}"])


class History:
    """Runs in a JSON file, the oldest first: [{machine, date, values: {name: [value, unit]}}]."""

    def __init__(self, file: Path, machine: str) -> None:
        self.file, self.machine = file, machine
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        self.runs: list[dict[str, Any]] = found if isinstance(found, list) else []  # until 0.1.0 one run without its machine

    def before(self) -> Values:
        """The latest value of each figure on this kind of machine."""
        latest: Values = {}
        for run in self.runs:
            if run["machine"] == self.machine:
                latest |= {name: (float(value), str(unit)) for name, (value, unit) in run["values"].items()}
        return latest

    def add(self, values: Values) -> None:
        """Keep a run. Figures that it did not measure stay those of the run before."""
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.runs = [*self.runs, {"machine": self.machine, "date": date, "values": values}][-KEPT:]
        write_json(self.file, self.runs)


def slower(before: Values, now: Values) -> list[str]:
    """A line for each figure that is worse by more than TOLERANCE, the worst first."""
    found = []
    for name in before.keys() & now.keys():
        (old, unit), (new, _) = before[name], now[name]
        if old <= 0 or new <= 0 or not (unit.endswith(FASTER) or unit in SLOWER):
            continue
        worse = old / new if unit.endswith(FASTER) else new / old
        if worse > 1 + TOLERANCE:
            found.append((worse, f"{name}: {old:.4g} -> {new:.4g} {unit} ({worse:.2f} times as long or as much)"))
    return [line for _, line in sorted(found, reverse=True)]
