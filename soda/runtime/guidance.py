"""What a person asks of the decoder: weights of guidance, and moves along directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from soda.common.errors import InputError

Guidance: TypeAlias = float | Sequence[float] | np.ndarray | Mapping[int, float]
"""One weight for all of z, or a weight for each section (all of them in order, or some by their number). Tensors serve, too.

Weights of sections come on top of the model's own guidance: 1 leaves a section as it is.
"""

_LARGEST = float(np.finfo(np.float32).max)


def read_guidance(guidance: Guidance | None, sections: int, default: float) -> tuple[float, dict[int, float]]:
    """(weight of the whole, weights of sections). The whole has the model's own `default` where no single weight is given.

    Raises ValueError for weights that are not finite numbers, a wrong number of them, or a section that does not exist.
    """
    if guidance is None:
        return default, {}
    guidance = _plain(guidance)
    if isinstance(guidance, Mapping):
        weights = dict(guidance)
    elif isinstance(guidance, Sequence):
        if len(guidance) != sections:
            raise InputError(f"guidance: {len(guidance)} weights for the {sections} sections of this model")
        weights = dict(enumerate(guidance))
    else:
        return _finite("guidance", guidance), {}
    for k in weights:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 0 <= k < sections:
            raise InputError(f"guidance: section {k!r} does not exist; this model has sections 0 to {sections - 1}")
    return default, {int(k): _finite(f"guidance of section {k}", weight) for k, weight in weights.items()}


def directions_step(directions: Sequence[Mapping[str, Any]], amounts: Mapping[int | str, float], latent_dim: int) -> np.ndarray:
    """The sum of the directions' vectors, each `amounts` times: (D,) float32.

    Raises ValueError for a direction that is not there, by number or name, and for an amount that is not finite.
    """
    step = np.zeros(latent_dim, np.float32)
    known = {str(each.get("number", place)): each for place, each in enumerate(directions)}
    known |= {str(each["name"]): each for each in directions if each.get("name")}
    for key, amount in amounts.items():
        if str(key) not in known:
            raise InputError(f"direction {key!r} does not exist; this model has {', '.join(known) or 'none'}")
        step += np.float32(_finite(f"direction {key!r}", amount)) * np.asarray(known[str(key)]["vector"], np.float32)
    return step


def _plain(value: Any) -> Any:
    """Arrays, tensors and their numbers as lists and numbers of Python's; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def _finite(name: str, value: object) -> float:
    value = _plain(value)
    # Its size, too: beyond float32, in which it is used, it would be infinite. Comparing overflows for no number, unlike float().
    if isinstance(value, bool) or not isinstance(value, Real) or not -_LARGEST <= value <= _LARGEST:  # type: ignore[operator]
        raise InputError(f"{name}: {value!r} is not possible; it must be a finite number")
    return float(value)
