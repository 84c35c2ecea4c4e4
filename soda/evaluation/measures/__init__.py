"""One file a measure: it declares its figures at the top, without torch, and computes them below."""

from __future__ import annotations

import importlib
import pkgutil

from soda.evaluation.registry import Measure


def declared() -> list[Measure]:
    """The MEASURE of every file here."""
    names = [found.name for found in pkgutil.iter_modules(__path__)]
    return [importlib.import_module(f"{__name__}.{name}").MEASURE for name in names]
