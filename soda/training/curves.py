"""The training curves, written with DVCLive. The rows live in the checkpoint; a resumed run writes them again from the start."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

Row = dict[str, float]


class Curves:
    """`add` a row of named values at a count of images; used as a context manager."""

    def __init__(self, folder: Path, rows: list[Row]) -> None:
        from dvclive import Live

        logging.getLogger("dvclive").setLevel(logging.ERROR)
        shutil.rmtree(folder, ignore_errors=True)
        self._live: Any = Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """row: `images` (the count so far) and the values at it."""
        self._live.step = int(row["images"])
        for name, value in row.items():
            if name != "images":
                self._live.log_metric(name, value)
        self._live.sync()

    def __enter__(self) -> Curves:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.end()
