"""Which direction of z moves which known factor, and how little it moves the others: read off pictures drawn along it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soda.common.errors import InputError
from soda.evaluation.section_probes import Draw

Read = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Pictures (N, S, S, C) uint8 -> factor -> chances (N, values) of a classifier, each row of which sums to 1."""

REACH = 2.0
"""Standard deviations to either side between which a direction is judged."""


@dataclass(frozen=True)
class Match:
    """The direction that moves one factor best. All in [0, 1].

    score: how far the factor's mean chances shift between the two ends (total variation: 1 when all pictures show one set of
    values at one end and quite another at the other end, 0 when the values are merely shuffled). others: share of pictures
    of which another factor's answer changes, mean over these factors.
    """

    direction: int
    score: float
    others: float

    @property
    def alone(self) -> float:
        """score * (1 - others), which directions are chosen by: 1 moves its factor and nothing else."""
        return self.score * (1 - self.others)


@dataclass(frozen=True)
class Responses:
    """shift, changed: (directions, F): of every factor's mean chances, and share of pictures whose answer changes."""

    factors: list[str]
    shift: np.ndarray
    changed: np.ndarray

    def others(self, direction: int, factor: int) -> float:
        """Mean of `changed` over the factors but one; 0 when there is no other."""
        rest = np.delete(self.changed[direction], factor)
        return float(rest.mean()) if len(rest) else 0.0


def responses(z: Tensor, steps: Tensor, draw: Draw, read: Read) -> Responses:
    """Draw z (N, D) moved by -REACH and +REACH along each row of steps (K, D), and read the factors at both ends.

    steps: one standard deviation along each direction. draw: the same noise at both ends, or noise would be read as change.
    """
    if steps.ndim != 2 or steps.shape[1] != z.shape[1]:
        raise InputError(f"directions have shape {tuple(steps.shape)}; they must be (K, {z.shape[1]})")
    names: list[str] = []
    shift, changed = [], []
    for step in steps.to(z):
        low, high = read(draw(z - REACH * step)), read(draw(z + REACH * step))
        names = list(low)
        shift.append([0.5 * np.abs(low[name].mean(0) - high[name].mean(0)).sum() for name in names])
        changed.append([(low[name].argmax(1) != high[name].argmax(1)).mean() for name in names])
    return Responses(names, np.array(shift), np.array(changed))


def best_directions(seen: Responses) -> dict[str, int]:
    """For every factor the direction of most shift * (1 - others)."""
    directions = range(len(seen.shift))
    return {
        name: int(np.argmax([seen.shift[d, k] * (1 - seen.others(d, k)) for d in directions]))
        for k, name in enumerate(seen.factors)
    }


def best_match(steps: Tensor, respond: Mapping[str, Callable[[Tensor], Responses]]) -> dict[str, Match]:
    """For every factor the best of the directions steps (K, D), chosen by respond["val"], with its figures by respond["test"].

    Two sets of pictures: the best of many directions on the pictures that chose it would flatter itself.
    """
    chosen = best_directions(respond["val"](steps))
    judged = respond["test"](steps[list(chosen.values())])
    found = {}
    for row, (name, direction) in enumerate(chosen.items()):
        k = judged.factors.index(name)
        found[name] = Match(direction, float(judged.shift[row, k]), judged.others(row, k))
    return found


def random_steps(z: Tensor, count: int, seed: int, lengths: Tensor | None = None) -> Tensor:
    """`count` directions drawn as the data lie, each one standard deviation of z (N, D) along it: (count, D).

    lengths: (count,), of each instead: those of the directions that they stand beside, so that images are moved as far. Lines
    drawn as the data lie are longer than most that are looked for, and would change more for that alone.
    """
    centred = (z - z.mean(0)).double()
    covariance = centred.T @ centred / max(1, len(z) - 1)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(count, len(z), generator=generator, dtype=torch.float64)
    lines = weights @ centred  # Gaussian, with the covariance of z
    lines = lines / lines.norm(dim=1, keepdim=True).clamp(min=1e-12)
    if lengths is not None:
        return (lines * lengths.to(lines)[:, None]).float()
    sigma = torch.einsum("kd,de,ke->k", lines, covariance, lines).clamp(min=0).sqrt()
    return (lines * sigma[:, None]).float()


def axis_steps(z: Tensor, count: int) -> Tensor:
    """The `count` axes of z (N, D) along which it spreads most, each one standard deviation long: (at most count, D)."""
    sigma = z.double().std(0)
    chosen = sigma.argsort(descending=True, stable=True)[:count]
    steps = torch.zeros(len(chosen), z.shape[1], dtype=torch.float64)
    steps[torch.arange(len(chosen)), chosen] = sigma[chosen]
    return steps.float()
