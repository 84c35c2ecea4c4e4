"""Formats of pictures that Pillow reads by a plugin, where one is installed: `pip install 'soda-encoder[formats]'`."""

from __future__ import annotations

from functools import cache
from importlib import import_module

PLUGINS = {"HEIF": ("pillow_heif", "register_heif_opener"), "JXL": ("pillow_jxl", "")}
"""Format -> package, and its function that tells Pillow; "": importing it does."""


@cache
def plugin_formats() -> tuple[str, ...]:
    """Tell Pillow of the plugins that are installed, once. Returns the formats that it reads by them."""
    found = []
    for name, (package, register) in PLUGINS.items():
        try:
            module = import_module(package)
        except ImportError:
            continue
        if register:
            getattr(module, register)()
        found.append(name)
    return tuple(found)
