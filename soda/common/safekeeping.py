"""Copies of the files that other programs rewrite in place, so that a kill in the middle of it loses nothing.

DVC opens dvc.lock and empties it before it writes, and `dvc exp run` does the same to params.yaml. A cut dvc.lock often reads as
a good one that knows fewer stages. So each stage that starts keeps a copy, and the next run mends from it what is cut.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from soda.common.files import whole_file

LOCK, PARAMS, STAGES = Path("dvc.lock"), Path("params.yaml"), Path("dvc.yaml")
KEPT = Path(".dvc/tmp/kept")


def keep_copies(root: Path) -> None:
    """Copy dvc.lock and params.yaml of the project `root` to .dvc/tmp/kept, those that are whole. Does nothing outside a project.

    A dvc.lock that lacks stages of the copy is not known to be whole.
    """
    if not (root / ".dvc").is_dir():
        return
    for name, is_cut in ((LOCK, lambda: bool(_lost(root))), (PARAMS, lambda: _is_cut(root / PARAMS, root / KEPT / PARAMS))):
        path, copy = root / name, root / KEPT / name
        if not path.exists():  # removed by a person, who wants to begin anew
            copy.unlink(missing_ok=True)
        elif not (copy.is_file() and copy.read_bytes() == path.read_bytes()) and not is_cut():
            with whole_file(copy) as temporary:
                shutil.copyfile(path, temporary)


def mend(root: Path) -> list[str]:
    """Put right what a killed process left of dvc.lock and params.yaml. Returns a sentence on each file that was mended.

    Stages that dvc.lock has whole stay; the others come from the copy. The caller holds the workspace: nobody writes meanwhile.
    """
    return [said for said in (_mend_lock(root), _mend_params(root)) if said]


def _mend_params(root: Path) -> str:
    path, copy = root / PARAMS, root / KEPT / PARAMS
    if not isinstance(_read(copy), dict) or not _is_cut(path, copy):
        return ""
    left = ""
    if path.exists():
        broken = path.with_name(f"{path.name}.broken")
        os.replace(path, broken)
        left = f" (what was left: {broken})"
    _replace(path, copy.read_bytes())
    return f"{path}: cut off by a process that was killed; put back from {copy}{left}"


def _is_cut(path: Path, copy: Path) -> bool:
    """Whether a params.yaml ends too early, as far as its copy shows: a cut file has the first of its keys, in their order.

    Where only the end of the last line is missing, and all keys are there, what that line says decides.
    """
    present, kept = _read(path), _read(copy)
    if not isinstance(present, dict):
        return True
    if not isinstance(kept, dict):
        return False
    found, expected = _leaves(present), _leaves(kept)
    keys, known = [key for key, _ in found], [key for key, _ in expected]
    if keys and len(keys) <= len(known) and known[len(keys) - 1][: len(keys[-1])] == keys[-1] and found[-1][1] is None:
        keys[-1] = known[len(keys) - 1]  # of a group of settings there is the name alone
        if keys[-1] != found[-1][0]:
            return keys == known[: len(keys)]
    if len(keys) < len(known) and keys == known[: len(keys)]:
        return True
    return not path.read_bytes().endswith(b"\n") and found[-1] != expected[-1]


def _leaves(value: Any, at: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every single value with the keys that lead to it, in the order of the file."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for key, each in inner for leaf in _leaves(each, (*at, str(key)))]
    return found or [(at, value)]


def _mend_lock(root: Path) -> str:
    import yaml

    path, copy = root / LOCK, root / KEPT / LOCK
    lost = _lost(root) if path.exists() else []
    if not lost:
        return ""
    kept, present = _stages(copy), _stages(path)
    if not present and not kept:
        os.replace(path, path.with_name(f"{path.name}.broken"))
        return f"{path}: cannot be read, and there is no copy of it: DVC writes it anew (what was left: {path}.broken)"
    if not present:
        _replace(path, copy.read_bytes())
        return f"{path}: cut off, as by a kill while DVC wrote it; put back from {copy}"
    stages = {name: kept.get(name) if name in lost else stage for name, stage in {**present, **dict.fromkeys(lost)}.items()}
    whole = {**_read(path), "stages": {name: stage for name, stage in stages.items() if stage}}
    _replace(path, yaml.safe_dump(whole, sort_keys=False).encode())
    return f"{path}: {', '.join(lost)} cut off, as by a kill while DVC wrote it; put back from {copy}"


def _replace(path: Path, content: bytes) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def _read(path: Path) -> Any:
    import yaml

    try:
        return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError):
        return None


def _stages(path: Path) -> dict[str, Any]:
    """The stages of a dvc.lock; none when it cannot be read."""
    lock = _read(path)
    stages = lock.get("stages") if isinstance(lock, dict) and "schema" in lock else None
    return stages if isinstance(stages, dict) else {}


def _declared_outs(root: Path) -> dict[str, set[str]]:
    stages = (_read(root / STAGES) or {}).get("stages", {})
    return {
        name: {out if isinstance(out, str) else next(iter(out)) for out in stage.get("outs", [])}
        for name, stage in stages.items()
    }


def _lost(root: Path) -> list[str]:
    """What a cut dvc.lock lacks: stages that end too early or, of the copy, are not there; its own name when it says nothing.

    Outputs come last in a stage: where these are whole, all before them is.
    """
    path = root / LOCK
    present = _stages(path)
    if not present:
        return [str(path)]
    declared = _declared_outs(root)
    lost = [name for name, stage in present.items() if not _is_whole(stage, declared.get(name, set()))]
    if not path.read_bytes().endswith(b"\n"):  # cut within a line: a number or a name may have lost its end
        lost.append(next(reversed(present)))
    lost += [name for name in _stages(root / KEPT / LOCK) if name in declared and name not in present]
    return list(dict.fromkeys(lost))


def _is_whole(stage: Any, declared: set[str]) -> bool:
    outs = (stage.get("outs") or []) if isinstance(stage, dict) else []
    if not all(isinstance(out, dict) for out in outs):
        return False
    return declared <= {out.get("path") for out in outs} and all(
        "size" in out and ("nfiles" in out or not str(out.get("md5")).endswith(".dir")) for out in outs
    )
