"""params.yaml, composed from conf/ and a person's overrides before DVC looks at it."""

from __future__ import annotations

import shlex
from pathlib import Path

from soda.config import CONF_DIR, PARAMS_FILE, ConfigError, compose, write_params
from soda.config.chosen import chosen_overrides, remember_overrides
from soda.evaluation.registry import flatten

FOLDER = "folder"  # the source of a person's own pictures


def split_overrides(overrides: list[str] | str) -> list[str]:
    """Settings as a list; a string is split as a shell would, so that quotes hold a value with spaces together."""
    if not isinstance(overrides, str):
        return list(overrides)
    try:
        return shlex.split(overrides)
    except ValueError as error:
        raise ConfigError(f"overrides: {overrides!r}: {error}") from None


def write_composed(root: Path, overrides: list[str]) -> list[str]:
    """Compose `root`/conf with the overrides into `root`/params.yaml and return what changed, a line a key.

    Without overrides a project stays with its own: those that params.yaml was composed with last. Where these are not known - it
    was edited, or came with `git pull` or `dvc exp apply` - it stays as it is. What was chosen from a person's folder is said
    before. The file is left untouched when nothing changes. Raises ConfigError naming the override or the key that is wrong, and
    then leaves it untouched as well.
    """
    import yaml

    path = root / PARAMS_FILE
    known = overrides or chosen_overrides(root)
    composed = compose(known or [], root / CONF_DIR)
    said = []
    if composed["dataset"]["name"] == FOLDER:
        from soda.data.choice import choose  # loads what reads pictures

        said = list(filter(None, [choose(composed, known or [])]))
    try:
        present = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        present = None
    if present != composed and known is None and isinstance(present, dict):
        return ["it is not what conf/ alone composes and stays as it is; `soda compose` makes it of the defaults"]
    if present != composed:
        write_params(composed, path)
    remember_overrides(known or [], root)
    if present == composed:
        return said
    if not isinstance(present, dict):
        return ["composed anew", *said]
    before, after = flatten(present), flatten(composed)
    changed = [key for key in dict.fromkeys([*after, *before]) if before.get(key) != after.get(key)]
    return said + [f"{key} {before.get(key, '(none)')} -> {after.get(key, '(none)')}" for key in changed]
