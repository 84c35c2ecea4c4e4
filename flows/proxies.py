"""Proxies that a person's environment names: none on the way to this machine itself, and none that Prefect's client cannot use.

That client ends at its start where a proxy is of another kind than HTTP, although it would not be asked (SOCKS without the
package socksio, `socks://` as desktops write it). Such a one is set aside, and given back to stages and commands: their
programs may know it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec

import httpx

LOOPBACK = ("127.0.0.1", "localhost", "::1")
KEPT = "SODA_PROXIES"
"""The variable with those that were set aside, JSON, so that the worker's runs know them, too."""

_BYPASS = ("no_proxy", "NO_PROXY")  # which of the two is read differs from program to program
_KINDS = ("http_proxy", "https_proxy", "all_proxy")


def bypass_proxy() -> None:
    """Have this process and those that it starts reach this machine itself without the proxy of HTTP_PROXY and its like."""
    named = next((os.environ[name] for name in _BYPASS if os.environ.get(name)), "")
    hosts = [host.strip() for host in named.split(",") if host.strip()]
    for name in _BYPASS:
        os.environ[name] = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
    aside = {name: value for name, value in os.environ.items() if name.lower() in _KINDS and not _is_usable(value)}
    if aside:
        os.environ[KEPT] = json.dumps({**_kept(os.environ), **aside})
        for name in aside:
            del os.environ[name]


def given_back(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for what is no part of Prefect, with the proxies that were set aside."""
    kept = {name: value for name, value in _kept(environment).items() if not environment.get(name)}
    return {name: value for name, value in {**environment, **kept}.items() if name != KEPT}


def bypassing() -> dict[str, str]:
    """After `bypass_proxy`: the variables that it set, for a process that this one does not start."""
    kept = _kept(os.environ)
    return {name: os.environ.get(name, "") for name in (*_BYPASS, *kept, *([KEPT] if kept else []))}


def _kept(environment: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = json.loads(environment.get(KEPT) or "{}")
    return kept


def _is_usable(value: str) -> bool:
    if not value:
        return True
    try:
        proxy = httpx.Proxy(value if "://" in value else f"http://{value}")
    except (ValueError, httpx.InvalidURL):
        return False
    return not proxy.url.scheme.startswith("socks") or find_spec("socksio") is not None
