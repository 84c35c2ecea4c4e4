"""What a release was made with: a bill of materials in CycloneDX 1.6 (JSON), of the packages that are installed here.

Source: https://cyclonedx.org/docs/1.6/json/. Only importlib.metadata is asked; nothing leaves the machine.
"""

from __future__ import annotations

import re
from collections import deque
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from soda.common.files import file_sha256

PROJECT = "soda-encoder"


def bill(files: dict[str, Path] | None = None, *, version: str = "") -> dict[str, Any]:
    """The bill of everything that `soda` needs and has, with its extras, and of the given files. The same input gives the same.

    files: name -> path, what is released.
    """
    known = _closure()
    own = metadata.version(PROJECT)
    components = [_package(found) for name, found in sorted(known.items()) if name != PROJECT]
    components += [_file(name, path) for name, path in sorted((files or {}).items())]
    root = {"type": "application", "bom-ref": _reference(PROJECT, own), "name": PROJECT, "version": version or own}
    depends = [
        {"ref": _reference(name, found.version), "dependsOn": sorted(_reference(other, known[other].version) for other in needs)}
        for name, found in sorted(known.items())
        if (needs := {other for other in _needed(found) if other in known and other != name})
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
        "dependencies": depends,
    }


def _name(written: str) -> str:
    return re.sub(r"[-_.]+", "-", written).lower()


def _reference(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def _needed(distribution: metadata.Distribution) -> set[str]:
    """The names of what it asks for, extras and other systems' packages included: those that are not here drop out later."""
    return {_name(re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0]) for each in distribution.requires or []}


@cache
def _closure() -> dict[str, metadata.Distribution]:
    installed = {_name(each.metadata["Name"]): each for each in metadata.distributions() if each.metadata["Name"]}
    found: dict[str, metadata.Distribution] = {}
    left = deque([PROJECT])
    while left:
        name = left.popleft()
        if name in found or name not in installed:
            continue
        found[name] = installed[name]
        left.extend(_needed(installed[name]))
    return found


def _package(distribution: metadata.Distribution) -> dict[str, Any]:
    name, version = _name(distribution.metadata["Name"]), distribution.version
    component: dict[str, Any] = {"type": "library", "bom-ref": _reference(name, version), "name": name, "version": version}
    component["purl"] = _reference(name, version)
    about: Any = distribution.metadata
    licence = about.get("License-Expression") or _classified(about.get_all("Classifier") or []) or about.get("License")
    if licence and len(licence) <= 100 and "\n" not in licence:
        key = "expression" if about.get("License-Expression") else "license"
        component["licenses"] = [{"expression": licence} if key == "expression" else {"license": {"name": licence}}]
    return component


def _classified(classifiers: list[str]) -> str:
    return "; ".join(each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License ::"))


def _file(name: str, path: Path) -> dict[str, Any]:
    kind = "machine-learning-model" if path.suffix in (".onnx", ".safetensors") else "file"
    hashes = [{"alg": "SHA-256", "content": file_sha256(path)}]
    return {"type": kind, "bom-ref": f"file:{name}", "name": name, "hashes": hashes}
