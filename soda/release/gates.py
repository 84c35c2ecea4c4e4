"""The gates of a release: figures of the new encoder held to bounds, and to those of the one in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from soda.config import ConfigError

BOUNDS = Path("conf/release.yaml")
Metrics = Mapping[str, Any]
_FORBID: Any = {"extra": "forbid"}


@checked(frozen=True, config=_FORBID)
class Bound:
    """What one figure must be. slack: how much worse than the released one's it may be; relative: as a share of that."""

    key: str
    better: Literal["higher", "lower"]
    slack: float = Field(ge=0)
    relative: bool = False
    at_least: float | None = None
    at_most: float | None = None


@checked(frozen=True, config=_FORBID)
class Bounds:
    """The whole of conf/release.yaml. quality: keys, the first that both have must grow by more than must_gain."""

    quality: list[str]
    gates: list[Bound]
    must_gain: float = Field(ge=0)


@dataclass(frozen=True)
class Gate:
    """One comparison and how it ended. current: the released encoder's figure, None where it has none."""

    key: str
    value: float
    current: float | None
    must_be: str
    passed: bool

    def __str__(self) -> str:
        beside = "" if self.current is None else f", released {self.current:.6g}"
        return f"{'ok' if self.passed else 'NOT PASSED'}: {self.key} {self.value:.6g}{beside}; it must be {self.must_be}"


def read_bounds(path: Path = BOUNDS) -> Bounds:
    """Raises ConfigError naming the file and the key that is wrong."""
    try:
        return TypeAdapter(Bounds).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def figure(metrics: Metrics, key: str) -> float | None:
    """The figure "part.name" of metrics.json; None when it is not there or no number."""
    part, _, name = key.partition(".")
    group = metrics.get(part)
    value = group.get(name) if isinstance(group, Mapping) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def hold(new: Metrics, current: Metrics | None, bounds: Bounds) -> list[Gate]:
    """Every comparison that can be made. current: the released encoder's metrics, None for the first release."""
    gates = [gate for bound in bounds.gates for gate in _gates(bound, new, current)]
    if current is None:
        return gates
    return [_gain(new, current, bounds), *gates]


def _gain(new: Metrics, current: Metrics, bounds: Bounds) -> Gate:
    for key in bounds.quality:
        value, before = figure(new, key), figure(current, key)
        if value is not None and before is not None:
            most = before + bounds.must_gain
            return Gate(key, value, before, f"more than {most:.6g}", value > most)
    return Gate("quality", float("nan"), None, f"a figure that both have: {', '.join(bounds.quality)}", False)


def _gates(bound: Bound, new: Metrics, current: Metrics | None) -> list[Gate]:
    value = figure(new, bound.key)
    before = figure(current, bound.key) if current is not None else None
    if value is None:
        # What the released encoder shows and this one does not is not passed by being left out.
        lacking = Gate(bound.key, float("nan"), before, "there, as in the released one", False)
        return [] if before is None else [lacking]
    gates = []
    if bound.at_least is not None:
        gates.append(Gate(bound.key, value, before, f"at least {bound.at_least:g}", value >= bound.at_least))
    if bound.at_most is not None:
        gates.append(Gate(bound.key, value, before, f"at most {bound.at_most:g}", value <= bound.at_most))
    if before is not None:
        slack = bound.slack * abs(before) if bound.relative else bound.slack
        if bound.better == "higher":
            gates.append(Gate(bound.key, value, before, f"at least {before - slack:.6g}", value >= before - slack))
        else:
            gates.append(Gate(bound.key, value, before, f"at most {before + slack:.6g}", value <= before + slack))
    return gates
