"""The FactorVAE score (Kim & Mnih 2018, section 4), from labelled points in place of a simulator.

A vote: points that share one value of one factor; the component that varies least among them, by its variance over that of all
points. A component is taken to stand for the factor that it gets most votes for; the score is how often this is right on
fresh votes.
"""

from __future__ import annotations

import numpy as np

from soda.common.errors import InputError

LEAST_SPREAD = 0.05
"""Standard deviation below which a component has no vote: disentanglement_lib's `prune_dims.threshold` for this score. Meant
for components that a VAE let collapse. One that is nought but in a few images would else win nearly all votes, since among 64
points it does not vary at all."""

VOTES = {"train": 10_000, "test": 5_000}  # disentanglement_lib's
POINTS = 64  # of a vote
_CHUNK = 250  # votes at once


def factor_vae_score(x: np.ndarray, y: dict[str, np.ndarray], *, seed: int) -> float:
    """The share of right votes, in [0, 1]; .5 with two factors that are told no better than by chance.

    x: (N, D); y: factor -> (N,), -1 where it is missing. Points of a vote are drawn with replacement from those with its value.
    Components that deviate by less than LEAST_SPREAD have no vote; where none has one the score is 0. Raises InputError when all
    are constant.
    """
    spread = x.std(0, ddof=1)
    if not (spread > 1e-6 * (1 + np.abs(x.mean(0)))).any():
        raise InputError("every component is constant: none can vote")
    active = spread >= LEAST_SPREAD
    if not active.any():
        return 0.0
    generator = np.random.default_rng(seed)
    train, test = (_votes(x[:, active], spread[active], y, count, generator) for count in VOTES.values())
    factor_of = train.argmax(0)  # (D,)
    return float(test[factor_of, np.arange(test.shape[1])].sum() / test.sum())


def _votes(x: np.ndarray, spread: np.ndarray, y: dict[str, np.ndarray], count: int, generator: np.random.Generator) -> np.ndarray:
    """How often each component varied least when each factor was held, by its own `spread` (D,): (F, D).

    Of those that do not vary at all the first has the vote. So components are not centred before: rounding would draw among them.
    """
    table = np.zeros((len(y), x.shape[1]), np.int64)
    orders = [np.argsort(values, kind="stable") for values in y.values()]
    ordered = [values[order] for values, order in zip(y.values(), orders, strict=True)]
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        held = generator.integers(len(y), size=size)
        for k, (order, values) in enumerate(zip(orders, ordered, strict=True)):
            votes = int((held == k).sum())
            first_known = int(np.searchsorted(values, 0))
            asked = values[generator.integers(first_known, len(values), size=votes)]  # values as often as points have them
            low, high = np.searchsorted(values, asked, "left"), np.searchsorted(values, asked, "right")
            points = order[generator.integers(low[:, None], high[:, None], size=(votes, POINTS))]  # (votes, POINTS)
            least = (x[points].std(1, ddof=1) / spread).argmin(1) if votes else np.zeros(0, np.int64)
            np.add.at(table[k], least, 1)
    return table
