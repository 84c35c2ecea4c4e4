"""Older model folders: their config.yaml lacks the settings that came later."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from soda.config.schema import Config
from soda.config.validated import Before


def migrate(values: Any, group: Any = Config) -> Any:
    """What an older config.yaml holds, with every setting that came later as it was then: its `Before` in the schema.

    Whatever else is wrong with `values`, which is of the class `group`, is left for `from_dict` to say.
    """
    if not isinstance(values, dict):
        return values
    full = dict(values)
    for name, field in group.__pydantic_fields__.items():
        for mark in field.metadata:
            if isinstance(mark, Before):
                full.setdefault(name, mark.value)
        if name in full and is_dataclass(field.annotation):
            full[name] = migrate(full[name], field.annotation)
    return full
