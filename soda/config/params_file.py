"""params.yaml, which every stage reads: written whole, read as validated settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from soda.common.files import whole_file
from soda.config.schema import Config, from_dict
from soda.config.validated import ConfigError

PARAMS_FILE = Path("params.yaml")


def load(path: str | os.PathLike[str] = PARAMS_FILE) -> Config:
    """Read params.yaml. Raises ConfigError when it is not there, not YAML, or holds a wrong setting."""
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; make it with `soda compose`") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    try:
        return from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}; `soda compose` makes the file anew") from None


def write_params(values: dict[str, Any], path: str | os.PathLike[str] = PARAMS_FILE) -> None:
    """Write params.yaml, whole or not at all, in the form that `dvc exp run` gives it."""
    from omegaconf import OmegaConf

    with whole_file(Path(path)) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.create(values)), encoding="utf-8")
