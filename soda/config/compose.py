"""Hydra groups in conf/ compose into what params.yaml holds; nothing of Hydra leaves this module."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, cast

import yaml

from soda.config.schema import from_dict
from soda.config.validated import ConfigError

CONF_DIR = Path("conf")

_NAMES = (
    "dataset.path",
    "dataset.labels",
    "dataset.csv_file_column",
    "dataset.csv_label_column",
    "gate.reference",
    "views.pairs.file",
    "train.shards",
    "train.shards.address",
    "train.shards.cache",
    "train.teacher",
    "train.teacher.path",
    "train.init",
)
"""Settings that name people's own files and columns."""


def compose(overrides: list[str] | None = None, conf_dir: str | os.PathLike[str] = CONF_DIR) -> dict[str, Any]:
    """Compose conf/ with Hydra overrides (`experiment=emoji`, `model.latent_dim=64`) into what params.yaml holds.

    Returns plain dictionaries, validated. Raises ConfigError naming the override or the key that is wrong.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    conf_dir = Path(conf_dir).resolve()
    try:
        with initialize_config_dir(str(conf_dir), version_base="1.3"):
            composed = hydra_compose("config", overrides=[_plain_name(each) for each in overrides or []])
        values = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True, throw_on_missing=True))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"cannot compose {conf_dir.name}/ with {overrides or 'no overrides'}: {error}") from None
    known = sorted(path.stem for path in (conf_dir / "dataset").glob("*.yaml") if path.stem != "base")
    name = from_dict(values).dataset.name
    if name not in known:
        raise ConfigError(f"dataset.name: {name!r} is not possible; it must be one of {', '.join(known)}")
    return values  # in the order and with the numbers that `dvc exp run` would write


def _plain_name(override: str) -> str:
    """Quote the name in `dataset.path=` and its like: Hydra's grammar refuses much that people's folders are called (é,
    parentheses), and takes a column called 1 for a number."""
    key, equals, value = override.partition("=")
    if key.lstrip("+") not in _NAMES or value in ("", "null") or value[0] in "'\"?":
        return override
    if key.endswith("dataset.path"):
        value = os.path.expanduser(value)
    # Hydra takes a backslash as it is, but for those before a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), value)
    return f"{key}{equals}'{escaped}'"


def advice(overrides: list[str], conf_dir: str | os.PathLike[str] = CONF_DIR) -> str:
    """A line for somebody who names a data set (or long training of the default) and not its experiment; "" for all others.

    An experiment is meant when it is called like the data set, or like the data set and the training (fashion_mnist_long), and
    chooses groups that the overrides leave at the default.
    """
    chosen = {key: value.strip("'\"") for key, _, value in (each.partition("=") for each in overrides)}
    if "experiment" in chosen or not {"dataset", "train"} & set(chosen):
        return ""
    default = next(each["dataset"] for each in _defaults(Path(conf_dir) / "config.yaml") if "dataset" in each)
    data = chosen.get("dataset", default)
    for name in (f"{data}_{chosen.get('train')}", data):
        file = Path(conf_dir) / "experiment" / f"{name}.yaml"
        groups = [key.rpartition("/")[2] for each in _defaults(file) for key in each] if file.is_file() else []
        left = [group for group in groups if group not in chosen and group != "dataset"]
        if left:
            return f"the settings of {', '.join(left)} are the default's; experiment={name} has those that suit {data}"
    return ""


def _defaults(file: Path) -> list[dict[str, str]]:
    """The choices of a file's defaults list."""
    values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return [each for each in values.get("defaults", []) if isinstance(each, dict)]
