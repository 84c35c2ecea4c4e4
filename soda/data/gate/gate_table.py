"""A table that the gate judges."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from soda.data.gate.expectations import Expectation


@dataclass(frozen=True)
class GateTable:
    """A data frame and what it has to meet. A failing row is named by its columns `id` and `file` ("": it has none)."""

    name: str
    about: str
    frame: pd.DataFrame
    checks: list[Expectation]
    id: str
    file: str
