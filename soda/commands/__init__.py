"""The commands of `soda` on files. Each module here is a family of them, the parser beside the action, and is found by itself.

A family has `add_commands(subparsers)`, which gives every parser its `action`. Every `soda` command reads all families, also
where only the base package is installed: what is heavy is imported where it is used. Modules named with _ are what they share.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any


def add_commands(subparsers: Any) -> None:
    """Add the commands of all families."""
    for found in iter_modules(__path__):
        if not found.name.startswith("_"):
            import_module(f"{__name__}.{found.name}").add_commands(subparsers)
