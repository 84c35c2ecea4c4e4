"""The configuration: Hydra groups in conf/ compose into params.yaml, and every stage reads that one file.

`compose` (Hydra) writes params.yaml; `load` turns it into frozen dataclasses, which check their values. No DictConfig and no
dictionary leaves this module. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from pathlib import Path
from typing import Any

import yaml

from soda.settings import (
    SOURCES,
    AugmentConfig,
    CamerasConfig,
    Config,
    ConfigError,
    DatasetConfig,
    DiffusionConfig,
    EvaluateConfig,
    ExportConfig,
    GateConfig,
    ModelConfig,
    PairsConfig,
    TrainConfig,
    ViewsConfig,
    check,
)

__all__ = [
    "CONF_DIR",
    "PARAMS_FILE",
    "SOURCES",
    "AugmentConfig",
    "CamerasConfig",
    "Config",
    "ConfigError",
    "DatasetConfig",
    "DiffusionConfig",
    "EvaluateConfig",
    "ExportConfig",
    "GateConfig",
    "ModelConfig",
    "PairsConfig",
    "TrainConfig",
    "ViewsConfig",
    "compose",
    "from_dict",
    "load",
    "to_dict",
    "write_params",
]

PARAMS_FILE = Path("params.yaml")
CONF_DIR = Path("conf")


def _convert(value: Any, wanted: Any, key: str) -> Any:
    """Check `value` against the annotation `wanted` and return it as that type; never guesses (no "3" for 3)."""
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (types.UnionType, typing.Union):  # X | None
        return None if value is None else _convert(value, next(a for a in args if a is not type(None)), key)
    if dataclasses.is_dataclass(wanted):
        return _build(wanted, value, key)  # type: ignore[arg-type]
    if origin is tuple:
        check(isinstance(value, (list, tuple)), key, value, "a list")
        return tuple(_convert(item, args[0], f"{key}[{i}]") for i, item in enumerate(value))
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is int and type(value) is float and value.is_integer():
        return int(value)  # 1e5 is a float to YAML
    check(type(value) is wanted, key, value, f"{'a' if wanted is not int else 'an'} {wanted.__name__}")
    return value


def _build(cls: type[Any], values: Any, key: str) -> Any:
    check(isinstance(values, dict), key or "params.yaml", values, "a mapping of settings")
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints), key=str)
    # What has a default came later than files that are still to be read: a model's settings lie beside its weights.
    optional = {field.name for field in dataclasses.fields(cls) if field.default is not dataclasses.MISSING}
    missing = sorted(set(hints) - set(values) - optional)
    prefix = f"{key}." if key else ""
    if unknown:
        name = unknown[0]
        raise ConfigError(f"{prefix}{name}: no such setting (value {values[name]!r}); known here: {', '.join(hints)}")
    if missing:
        raise ConfigError(f"{prefix}{missing[0]}: this setting is missing")
    return cls(**{name: _convert(values[name], hint, prefix + name) for name, hint in hints.items() if name in values})


def from_dict(values: dict[str, Any]) -> Config:
    """Build the configuration from nested dictionaries. Raises ConfigError naming the key and value."""
    return typing.cast(Config, _build(Config, values, ""))


def to_dict(config: Config) -> dict[str, Any]:
    """The plain nested dictionary that `from_dict` takes (tuples as lists, so that YAML and JSON agree)."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

    return typing.cast(dict[str, Any], plain(dataclasses.asdict(config)))


def load(path: str | os.PathLike[str] = PARAMS_FILE) -> Config:
    """Read params.yaml. Raises ConfigError when it is missing, is no YAML, or holds a wrong setting."""
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
        raise ConfigError(f"{path}: {error}") from None


_NAMES = (
    "dataset.path",
    "dataset.labels",
    "dataset.csv_file_column",
    "dataset.csv_label_column",
    "gate.reference",
    "views.pairs.file",
)
"""Settings that name people's own files and columns."""


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


def _with_recipe(overrides: list[str], conf_dir: Path) -> list[str]:
    """The overrides, after those that recipes.yaml has for the data set, but for keys and whole groups that are chosen."""
    chosen = {key: value.strip("'\"") for key, _, value in (override.partition("=") for override in overrides)}
    recipes = _read_yaml(conf_dir / "recipes.yaml")
    data = chosen.get("dataset") or _default_dataset(conf_dir)
    recipe: list[str] = [*recipes.get(str(data), []), *recipes.get(f"{data} train={chosen.get('train')}", [])]
    return [each for each in recipe if not {each.partition("=")[0], each.partition(".")[0]} & set(chosen)] + overrides


def _default_dataset(conf_dir: Path) -> str | None:
    defaults = _read_yaml(conf_dir / "config.yaml").get("defaults", [])
    return next((each["dataset"] for each in defaults if isinstance(each, dict) and "dataset" in each), None)


def _read_yaml(path: Path) -> dict[str, Any]:
    """What a file holds; nothing when it is empty or not there. Raises ConfigError when it is not a YAML of keys."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(values or {}, dict):
        raise ConfigError(f"{path}: it wants keys and their values")
    return values or {}


def compose(overrides: list[str] | None = None, conf_dir: str | os.PathLike[str] = CONF_DIR) -> dict[str, Any]:
    """Compose conf/ with Hydra overrides (`train=long`, `model.latent_dim=64`) into what params.yaml holds.

    What recipes.yaml has for the data set comes first. Returns plain dictionaries, validated. Raises ConfigError naming the
    override or the key that is wrong.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    conf_dir = Path(conf_dir).resolve()
    try:
        with initialize_config_dir(str(conf_dir), version_base="1.3"):
            composed = hydra_compose("config", overrides=[_plain_name(each) for each in _with_recipe(overrides or [], conf_dir)])
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"cannot compose {conf_dir.name}/ with {overrides or 'no overrides'}: {error}") from None
    composed_values = typing.cast(dict[str, Any], values)
    from_dict(composed_values)  # checked, and left in the order and with the numbers that `dvc exp run` would write
    return composed_values


def write_params(values: dict[str, Any], path: str | os.PathLike[str] = PARAMS_FILE) -> None:
    """Write params.yaml, whole or not at all, in the form that `dvc exp run` gives it."""
    from omegaconf import OmegaConf

    path = Path(path)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(OmegaConf.to_yaml(OmegaConf.create(values)), encoding="utf-8")
    os.replace(temporary, path)
