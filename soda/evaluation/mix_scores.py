"""Do mixes show the style of one picture with the content of another? Read off drawn mixes by a classifier trained apart.

The sections that give the style are chosen on validation pictures, among every cut of z between fine and coarse; figures are of
test pictures, in pairs that differ in what is asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from soda.common.seeds import seed_of
from soda.evaluation.baselines.factor_reader import Codes, FactorReader, Reading, read
from soda.evaluation.section_probes import Draw, cuts
from soda.inference.mixing import mix

CLEAR = 2.0
"""Standard errors by which a factor must come from one picture rather than the other, to be called that side's."""


@dataclass(frozen=True)
class Roles:
    """Which factors are style and which content. `held_out`: the content is one factor that no classifier was shown."""

    style: tuple[str, ...]
    content: tuple[str, ...]
    held_out: bool


@dataclass(frozen=True)
class MixScore:
    """Shares in [0, 1]. style: mixes that show A's value, mean over the style factors, of pairs that differ in them.

    retrieval: mixes that lead to B's content among the candidates; chance: what a blind choice would reach. by_factor:
    factor -> (shows A's value, shows B's), of pairs that differ in it.
    """

    style: float
    retrieval: float
    chance: float
    by_factor: dict[str, tuple[float, float]]


def style_of(codes: Codes, content: str, learnable: list[str]) -> tuple[str, ...]:
    """The learnable factors that pictures of one content differ in: what the content does not decide."""
    has = codes[content] >= 0
    groups = np.unique(codes[content][has], return_inverse=True)[1]
    found = []
    for name in learnable:
        values = codes[name][has]
        least, most = np.full(groups.max() + 1, np.iinfo(np.int64).max), np.full(groups.max() + 1, -1)
        np.minimum.at(least, groups, np.where(values < 0, np.iinfo(np.int64).max, values))
        np.maximum.at(most, groups, values)
        if name != content and (most > least)[most >= 0].any():
            found.append(name)
    return tuple(found)


def unlike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two codes of one factor are both known, and differ."""
    return np.asarray((a != b) & (a >= 0) & (b >= 0))


def draw_pairs(codes: Codes, differ: tuple[str, ...], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (A, B), (n,) each, n <= count, of pictures that differ in some factor of `differ` (in all of one or two).

    Drawn with repeats; a set in which nothing differs gives none.
    """
    total = len(next(iter(codes.values())))
    generator = np.random.default_rng(seed_of("pairs", seed))
    a, b = generator.integers(0, total, (2, 20 * count))
    apart = np.stack([unlike(codes[name][a], codes[name][b]) for name in differ])
    fit = np.flatnonzero(apart.all(0) if len(differ) <= 2 else apart.any(0))[:count]
    return a[fit], b[fit]


def shown(reading: Reading, a: Codes, b: Codes) -> dict[str, tuple[float, float]]:
    """For each factor that is read: shares of the pictures that show A's value and B's, where A and B differ in it."""
    found = {}
    for name in reading.chances:
        differ = unlike(a[name], b[name])
        if differ.any():
            answers = reading.answers(name)[differ]
            found[name] = (float((answers == a[name][differ]).mean()), float((answers == b[name][differ]).mean()))
    return found


def retrieve_held_out(
    queries: np.ndarray, wanted: np.ndarray, style: np.ndarray, candidates: np.ndarray, contents: np.ndarray, styles: np.ndarray
) -> tuple[float, float]:
    """(share of queries whose nearest candidate of their own style has the wanted content, chance of a blind choice).

    queries: (Q, E) and candidates: (M, E) of length 1; wanted, style: (Q,); contents, styles: (M,). Queries whose content no
    candidate of their style has are left out; (nan, nan) when none is left.
    """
    hits, chances = [], []
    for query, content, kind in zip(queries, wanted, style, strict=True):
        here = np.flatnonzero(styles == kind)
        right = contents[here] == content
        if right.any():
            hits.append(right[(candidates[here] @ query).argmax()])
            chances.append(right.mean())
    return (float(np.mean(hits)), float(np.mean(chances))) if hits else (float("nan"), float("nan"))


def retrieve_by_factors(reading: Reading, names: tuple[str, ...], wanted: Codes, others: Codes) -> tuple[float, float]:
    """(share of mixes whose likeliest candidate shares all values of `names` with B, chance of a blind choice).

    Candidates are the pictures B of all mixes and the pictures A (`others`): a mix that shows A finds A. A candidate's likelihood
    is the product of the reader's chances of its values. Mixes of two pictures of the same content are left out; (nan, nan) when
    there are no others.
    """
    of_b, of_a = (np.stack([codes[name] for name in names], axis=1) for codes in (wanted, others))  # (N, names)
    table = np.concatenate([of_b, of_a])  # (2 N, names)
    asked = np.flatnonzero((of_b != of_a).any(1))
    if not len(asked):
        return float("nan"), float("nan")
    scores = np.zeros((len(asked), len(table)))
    for k, name in enumerate(names):
        scores += np.log(np.maximum(reading.chances[name][asked][:, table[:, k].clip(0)], 1e-6))
    right = (table[None] == of_b[asked][:, None]).all(2)
    return float(right[np.arange(len(asked)), scores.argmax(1)].mean()), float(right.mean())


@dataclass(frozen=True)
class Mixer:
    """Draws and scores mixes of the pictures of one split. z: (N, D); codes: factor -> (N,); real: what is read of these."""

    z: Tensor
    codes: Codes
    real: Reading
    draw: Draw
    reader: FactorReader
    sections: int

    def of(self, positions: np.ndarray) -> Codes:
        return {name: codes[positions] for name, codes in self.codes.items()}

    def read_mixes(self, chosen: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> Reading:
        """What the reader sees in mixes with the sections `chosen` of A and the others of B."""
        return read(self.reader, self.draw(mix(self.z[a], self.z[b], chosen, self.sections)))

    def score(self, reading: Reading, a: np.ndarray, b: np.ndarray, roles: Roles) -> MixScore:
        """Score what was read of drawn pictures as mixes of A's style and B's content."""
        of_a, of_b = self.of(a), self.of(b)
        by_factor = shown(reading, of_a, of_b)
        style = float(np.mean([by_factor[name][0] for name in roles.style if name in by_factor] or [np.nan]))
        if roles.held_out:
            assert reading.embedding is not None and self.real.embedding is not None
            kind, content = roles.style[0], roles.content[0]
            found = retrieve_held_out(
                reading.embedding, of_b[content], of_a[kind], self.real.embedding, self.codes[content], self.codes[kind]
            )
        else:
            found = retrieve_by_factors(reading, roles.content, of_b, of_a)
        return MixScore(style, *found, by_factor)


@dataclass(frozen=True)
class Choice:
    """The sections that the style is taken from, and the roles of the factors, as validation has them."""

    chosen: tuple[int, ...]
    roles: Roles


def choose(mixer: Mixer, count: int, seed: int, roles: Roles | None) -> Choice | None:
    """The cut with the greatest product of style accuracy and content retrieval on the pictures of `mixer` (validation).

    roles: None where nothing says what is style: then A gives the finer side, `roles_seen` says for each cut which factors are
    style and which content, and the latters' mean accuracy stands in for the retrieval. None when no cut gives both sides
    something.
    """
    differ = (roles.style[0], roles.content[0]) if roles else tuple(mixer.real.chances)
    a, b = draw_pairs(mixer.codes, differ, count, seed)
    if not len(a):
        return None
    if roles is None:
        return _choose_with_roles(mixer, a, b)
    values = {}
    for chosen in cuts(mixer.sections):
        score = mixer.score(mixer.read_mixes(chosen, a, b), a, b, roles)
        values[chosen] = float(np.nan_to_num(score.style * score.retrieval))
    best = max(values, key=values.__getitem__)
    return Choice(best, roles) if values[best] > 0 else None


def roles_seen(reading: Reading, a: Codes, b: Codes, errors: float = CLEAR) -> Roles | None:
    """Style are the factors that more mixes take from A than from B, content those that more take from B; None without both.

    More: by `errors` standard errors of the difference, which a coin would have that fell for A or B in each mix that shows one.
    """
    style: list[str] = []
    content: list[str] = []
    for name, (of_a, of_b) in shown(reading, a, b).items():
        pairs = int(unlike(a[name], b[name]).sum())
        lead, noise = (of_a - of_b) * pairs, math.sqrt((of_a + of_b) * pairs)
        if abs(lead) > errors * noise:
            (style if lead > 0 else content).append(name)
    return Roles(tuple(style), tuple(content), held_out=False) if style and content else None


def _choose_with_roles(mixer: Mixer, a: np.ndarray, b: np.ndarray) -> Choice | None:
    """Among the cuts in which both sides clearly give something; where there is none, among those in which they give more."""
    of_a, of_b = mixer.of(a), mixer.of(b)
    readings = {chosen: mixer.read_mixes(chosen, a, b) for chosen in cuts(mixer.sections)[: mixer.sections - 1]}
    for errors in (CLEAR, 0.0):
        roles = {chosen: seen for chosen, reading in readings.items() if (seen := roles_seen(reading, of_a, of_b, errors))}
        if roles:
            found = {chosen: shown(readings[chosen], of_a, of_b) for chosen in roles}
            values = {
                chosen: np.mean([found[chosen][name][0] for name in seen.style])
                * np.mean([found[chosen][name][1] for name in seen.content])
                for chosen, seen in roles.items()
            }
            best = max(values, key=values.__getitem__)
            return Choice(best, roles[best])
    return None


def measure_mixes(mixer: Mixer, choice: Choice, count: int, seed: int) -> dict[str, MixScore]:
    """Scores of "mixed", and beside it of B drawn from its own z ("content alone") and of A ("style alone"), on `count` pairs."""
    roles = choice.roles
    differ = (roles.style[0], roles.content[0]) if roles.held_out else tuple(mixer.real.chances)
    a, b = draw_pairs(mixer.codes, differ, count, seed)
    everything = tuple(range(mixer.sections))
    takes = {"mixed": choice.chosen, "content alone": (), "style alone": everything}
    return {name: mixer.score(mixer.read_mixes(chosen, a, b), a, b, roles) for name, chosen in takes.items()}
