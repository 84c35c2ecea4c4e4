"""Finding directions of z without a label: principal components, of all of z and of each section, and sparse alternatives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soda.common.checks import one_of, whole_number
from soda.common.errors import InputError
from soda.inference.directions import Direction
from soda.inference.drawer import Drawer, Sampling
from soda.inference.mixing import require_sections

METHODS = ("pca", "section", "sparse", "ica")
MAX_LATENTS = 10_000
"""More say nothing new about a few directions, and the sparse methods take minutes."""

REACH = 2.0
"""Sigmas to either side at which the change of the picture is measured."""


@dataclass(frozen=True)
class Found:
    """A direction before its effect on pictures is known. vector: (D,) float64 of length 1."""

    vector: np.ndarray
    sigma: float
    kind: str
    section: int | None = None


def _signed(vector: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Of a direction and its opposite the one along which the data has its long tail: a sign that no solver's whim decides."""
    score = z @ vector
    skew = np.mean((score - score.mean()) ** 3) / max(score.std() ** 3, 1e-30)
    turn = skew if abs(skew) > 1e-6 else vector[np.abs(vector).argmax()]
    return vector if turn >= 0 else -vector


def principal(z: np.ndarray, count: int) -> Iterator[Found]:
    """The first `count` principal components of centred z (N, D)."""
    values, vectors = np.linalg.eigh(z.T @ z / max(1, len(z) - 1))
    for k in range(len(values) - 1, max(-1, len(values) - 1 - count), -1):
        yield Found(_signed(vectors[:, k], z), float(np.sqrt(max(0.0, values[k]))), "pca")


def principal_of_sections(z: np.ndarray, count: int, sections: int) -> Iterator[Found]:
    """The first `count` components of every section on its own; they leave the other sections alone."""
    require_sections(z.shape[1], sections)
    width = z.shape[1] // sections
    for k in range(sections):
        part = slice(k * width, (k + 1) * width)
        for found in principal(z[:, part], count):
            vector = np.zeros(z.shape[1])
            vector[part] = found.vector
            yield Found(vector, found.sigma, "section", k)


def _whitened(z: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, n) of unit variance on the `count` first components that have any, and the way back (n, D)."""
    parts = [found for found in principal(z, count) if found.sigma > 0]
    basis = np.stack([found.vector for found in parts])
    sigma = np.array([found.sigma for found in parts])
    return z @ basis.T / sigma, basis * sigma[:, None]


def sparse(z: np.ndarray, count: int, seed: int) -> Iterator[Found]:
    """Dictionary learning (Mairal et al. 2009): z is written with few of `count` atoms each; every atom is a direction.

    On whitened scores, so that rare attributes count beside strong ones.
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning

    scores, back = _whitened(z, count)
    count = scores.shape[1]
    model = MiniBatchDictionaryLearning(
        count, alpha=1.0, batch_size=256, max_iter=20, fit_algorithm="cd", transform_algorithm="lasso_cd", random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an atom that has not settled is still a direction
        codes = model.fit_transform(scores)  # (N, count)
    used = codes.any(0)  # an atom that no picture uses is no direction
    for atom in (model.components_ @ back)[used]:
        yield from _along(atom, "sparse", z)


def independent(z: np.ndarray, count: int, seed: int) -> Iterator[Found]:
    """Independent components (FastICA, Hyvärinen & Oja 2000): directions along which the data is least Gaussian."""
    from sklearn.decomposition import FastICA

    scores, back = _whitened(z, count)
    model = FastICA(whiten=False, random_state=seed, max_iter=300, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(scores)
    for column in (model.mixing_.T @ back).reshape(-1, z.shape[1]):
        yield from _along(column, "ica", z)


def _along(column: np.ndarray, kind: str, z: np.ndarray) -> Iterator[Found]:
    # Sigma is the spread of z along the line, as for principal components. That of an atom's codes is another: they are shrunk,
    # and atoms overlap.
    length = float(np.linalg.norm(column))
    if length > 1e-9:
        vector = _signed(column / length, z)
        yield Found(vector, float((z @ vector).std(ddof=1)), kind)


def discover(
    drawer: Drawer, z: Tensor, *, methods: Sequence[str] | None, count: int, per_section: int, shown: int, steps: int, seed: int
) -> list[Direction]:
    """Directions of latents (N, D), ranked by how much they change `shown` of the images, drawn in so many steps.

    methods: None: all (section only where sections divide z); else, like count and per_section, as `candidates` has it.
    """
    whole_number("shown", shown, 1)
    sections = drawer.network.sections
    if methods is None:
        methods = [method for method in METHODS if method != "section" or z.shape[1] % sections == 0]
    found = candidates(z, sections=sections, count=count, per_section=per_section, methods=tuple(methods), seed=seed)
    some = z[torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))[:shown]]
    noise = drawer.noise(len(some), seed)

    def draw(ends: Tensor) -> Tensor:
        again = noise.repeat(len(ends) // len(some), 1, 1, 1)
        return drawer.draw(ends, again, Sampling(seed, steps), alike=True, label="rank")

    return rank(found, some, draw, float(z.double().var(0).sum()))


def candidates(z: Tensor, *, sections: int, count: int, per_section: int, methods: tuple[str, ...], seed: int) -> list[Found]:
    """Directions by every method of `methods`, from latents (N, D), of which at most MAX_LATENTS are used.

    count: directions of pca, sparse and ica each; per_section: of each section. Raises ValueError for an unknown method, for
    fewer than 2 latents, and for `section` where the sections do not divide the latent.
    """
    for method in methods or ("",):
        one_of("methods", method, METHODS)
    whole_number("count", count, 1)
    whole_number("per_section", per_section, 1)
    if not bool(z.isfinite().all()):
        raise InputError("some of these latents are not finite numbers")
    if len(z) < 2:
        raise InputError(f"directions are found from the latents of many pictures, not of {len(z)}")
    chosen = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))[:MAX_LATENTS].sort().values
    data = z[chosen].double().cpu().numpy()
    data -= data.mean(0)
    if not data.any():
        raise InputError("all these latents are the same: there is no direction to find in them")
    count = min(count, data.shape[1], len(data) - 1)  # so many directions centred latents have
    find: dict[str, Callable[[], Iterator[Found]]] = {
        "pca": lambda: principal(data, count),
        "section": lambda: principal_of_sections(data, per_section, sections),
        "sparse": lambda: sparse(data, count, seed),
        "ica": lambda: independent(data, count, seed),
    }
    return [found for method in methods for found in find[method]() if found.sigma > 0]


def rank(found: list[Found], z: Tensor, draw: Callable[[Tensor], Tensor], variance: float) -> list[Direction]:
    """Directions in the order of how much they change pictures: the mean absolute difference from -REACH to +REACH sigma.

    z: (B, D), of the pictures that are moved; draw: (n * B, D) -> (n * B, C, S, S) in [-1, 1], the same noise for the same
    picture; variance: of z over the data, all components together.
    """
    steps = [torch.from_numpy(item.vector * item.sigma * REACH).to(z) for item in found]
    ends = torch.stack([torch.stack([z - step, z + step]) for step in steps])  # (K, 2, B, D)
    low, high = draw(ends.flatten(0, 2)).unflatten(0, (len(found), 2, len(z))).unbind(1)
    change = (high - low).abs().flatten(1).mean(1) / 2  # (K,): [-1, 1] is twice as wide as [0, 1]
    rows = [
        Direction(torch.from_numpy(item.vector).float(), item.sigma, item.kind, item.section, item.sigma**2 / variance, float(c))
        for item, c in zip(found, change, strict=True)
    ]
    return sorted(rows, key=lambda row: -row.change)
