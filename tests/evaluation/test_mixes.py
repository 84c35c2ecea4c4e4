"""Factors, sections, mixes and attribute directions on a world whose renderer obeys z."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from soda.evaluation.baselines.factor_reader import Reading, read
from soda.evaluation.factors import Factors
from soda.evaluation.mix_scores import (
    Mixer,
    Roles,
    choose,
    draw_pairs,
    measure_mixes,
    retrieve_by_factors,
    retrieve_held_out,
    roles_seen,
    shown,
    style_of,
)
from soda.evaluation.responses import Match, Responses, axis_steps, best_directions, best_match, random_steps, responses
from soda.evaluation.section_probes import cuts, describe_cut, section_probes
from tests.support.shapes import SHAPES, Eyes, drawn, render, z_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    generator = np.random.default_rng(1)
    codes = {
        split: {"colour": generator.integers(0, 3, n), "shape": generator.integers(0, SHAPES, n)}
        for split, n in (("train", 240), ("val", 80), ("test", 80))
    }
    z = {split: z_of(c["colour"], c["shape"], seed=i) for i, (split, c) in enumerate(codes.items())}
    names = {"colour": ["blue", "green", "red"], "shape": ["across", "cross", "down", "square"]}
    return {"factors": Factors(names, codes), "z": z}


def mixer(world: dict[str, Any], split: str) -> Mixer:
    codes, z = world["factors"].codes[split], world["z"][split]
    eyes = Eyes()
    return Mixer(z, codes, read(eyes, drawn(z)), drawn, eyes, sections=4)


def test_which_factors_can_be_learnt_and_which_are_held_out() -> None:
    generator = np.random.default_rng(0)
    train = {"style": generator.integers(0, 2, 200), "code": np.arange(200) // 4, "rare": np.zeros(200, np.int64)}
    test = {"style": generator.integers(0, 2, 40), "code": 60 + np.arange(40) // 4, "rare": np.zeros(40, np.int64)}
    train["rare"][0] = 1
    names = {"style": ["a", "b"], "code": [f"c{i:03}" for i in range(80)], "rare": ["no", "yes"]}
    factors = Factors(names, {"train": train, "val": {k: v[:0] for k, v in test.items()}, "test": test})
    assert factors.learnable == ["style"]
    assert factors.held_out == ["code"]
    assert style_of(train, "code", ["style"]) == ("style",)
    assert style_of({"code": np.arange(200) // 4, "style": np.arange(200) // 100}, "code", ["style"]) == ()
    assert factors.majority("rare") == 1
    only = factors.only(["style"], {"train": np.array([3, 5]), "test": np.array([1])})
    assert only.codes["train"]["style"].tolist() == train["style"][[3, 5]].tolist()


def test_cuts_are_the_ways_to_part_fine_from_coarse() -> None:
    assert cuts(3) == [(0,), (0, 1), (2,), (1, 2)]
    assert describe_cut((0, 1), 3) == "the 2 finest of 3 sections"


def test_probes_find_each_factor_in_its_own_section(world: dict[str, Any]) -> None:
    found = section_probes(world["z"], world["factors"], ["colour", "shape"], 4, (1e-3,))
    assert found.by_section[0, 0] == found.by_section[3, 1] == 1
    assert (found.whole == 1).all()
    others = [found.by_section[k, 0] for k in (1, 2, 3)] + [found.by_section[k, 1] for k in (0, 1, 2)]
    assert max(others) < 0.6
    assert found.lift[0].tolist() == [1, found.lift[0, 1]]


def test_the_cut_that_separates_is_found_and_its_mixes_are_right(world: dict[str, Any]) -> None:
    for roles in (None, Roles(("colour",), ("shape",), held_out=True)):
        choice = choose(mixer(world, "val"), 40, 0, roles)
        assert choice is not None
        given, kept = ("colour", "shape") if 0 in choice.chosen else ("shape", "colour")
        assert choice.roles.style == (given,)
        assert choice.roles.content == (kept,)
        scores = measure_mixes(mixer(world, "test"), choice, 60, 0)
        assert scores["mixed"].style == scores["mixed"].retrieval == 1
        assert 0.05 < scores["mixed"].chance < 0.5
        assert scores["content alone"].style == 0
        assert scores["style alone"].retrieval < 0.6
        assert scores["mixed"].by_factor[given] == (1, 0)


def test_a_factor_is_a_sides_when_more_mixes_show_it_than_chance_explains() -> None:
    a = {name: np.zeros(40, np.int64) for name in ("plain", "even", "faint", "other")}
    b = {name: np.ones(40, np.int64) for name in a}

    def reads(of_a: int) -> np.ndarray:  # so many mixes show A's value, the others B's
        return np.repeat([[0.9, 0.1], [0.1, 0.9]], [of_a, 40 - of_a], axis=0)

    reading = Reading({"plain": reads(36), "even": reads(20), "faint": reads(22), "other": reads(6)}, None)
    # 22 against 18: 4 ahead, the standard error is the root of 40.
    assert roles_seen(reading, a, b) == Roles(("plain",), ("other",), held_out=False)
    assert roles_seen(reading, a, b, errors=0) == Roles(("plain", "faint"), ("other",), held_out=False)
    only = Reading({"plain": reads(36), "faint": reads(18)}, None)
    assert roles_seen(only, a, b) is None


def test_a_decoder_that_ignores_z_mixes_nothing(world: dict[str, Any]) -> None:
    still = dataclasses.replace(mixer(world, "val"), draw=lambda z: render(np.zeros(len(z), int), np.zeros(len(z), int)))
    roles = Roles(("colour",), ("shape",), held_out=True)
    a, b = draw_pairs(still.codes, ("colour", "shape"), 60, 0)
    score = still.score(still.read_mixes((0,), a, b), a, b, roles)
    assert score.style < 0.6
    assert score.retrieval < score.chance + 0.25


def test_pairs_differ_in_what_is_asked(world: dict[str, Any]) -> None:
    codes = world["factors"].codes["test"]
    a, b = draw_pairs(codes, ("colour", "shape"), 50, 0)
    assert len(a) == 50
    assert all((codes[name][a] != codes[name][b]).all() for name in codes)
    assert len(draw_pairs({"same": np.zeros(9, int)}, ("same",), 5, 0)[0]) == 0


def test_retrieval_worked_out_by_hand() -> None:
    # Two candidates of style 0 and one of style 1; the query of style 1 has nothing of its content to find and is left out.
    candidates = np.array([[1.0, 0], [0, 1.0], [1.0, 0]])
    contents, styles = np.array([7, 8, 9]), np.array([0, 0, 1])
    queries = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    found = retrieve_held_out(queries, np.array([7, 8, 8]), np.array([0, 0, 1]), candidates, contents, styles)
    assert found == (0.5, 0.5)

    chances = np.array([[0.8, 0.2], [0.8, 0.2]])
    wanted, others = {"f": np.array([0, 1])}, {"f": np.array([1, 0])}
    assert retrieve_by_factors(Reading({"f": chances}, None), ("f",), wanted, others) == (0.5, 0.5)
    assert shown(Reading({"f": chances}, None), wanted, others) == {"f": (0.5, 0.5)}
    same = retrieve_by_factors(Reading({"f": chances}, None), ("f",), wanted, wanted)
    assert all(math.isnan(value) for value in same)  # nothing to tell apart


def test_every_factor_finds_its_direction_and_the_others_stay(world: dict[str, Any]) -> None:
    z, eyes = world["z"]["test"], Eyes()
    steps = torch.zeros(3, 16)
    steps[0, 5], steps[1, 12], steps[2, 0] = 1.0, 1.1, 0.8  # one that does nothing, shape, colour

    def respond(part: Tensor) -> Callable[[Tensor], Responses]:
        return lambda each: responses(part, each, drawn, lambda p: read(eyes, p).chances)

    best = best_match(steps, {"val": respond(z[:24]), "test": respond(z[24:48])})
    assert (best["colour"].direction, best["shape"].direction) == (2, 1)
    assert min(match.score for match in best.values()) > 0.9
    assert max(match.others for match in best.values()) == 0
    seen = respond(z[:24])(steps)
    assert np.allclose(seen.shift[0], 0, atol=1e-6)
    assert best_directions(seen) == {"colour": 2, "shape": 1}
    stuck = best_match(steps, {"val": respond(z[:24]), "test": respond(z[24:48] + 10)})  # the figures are of the test pictures
    assert stuck["shape"].direction == 1
    assert stuck["shape"].score == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"\(K, 16\)"):
        responses(z, steps[:, :4], drawn, lambda p: read(eyes, p).chances)


def test_random_steps_are_one_sigma_long(world: dict[str, Any]) -> None:
    z = world["z"]["train"]
    for step in random_steps(z, 5, seed=0):
        along = (z - z.mean(0)) @ (step / step.norm())
        assert float(along.std()) == pytest.approx(float(step.norm()), rel=0.02)
    lengths = torch.tensor([0.1, 2.0, 0.5, 1.0, 3.0])
    torch.testing.assert_close(random_steps(z, 5, 0, lengths).norm(dim=1), lengths)


def test_axes_are_single_components_in_the_order_of_their_spread() -> None:
    z = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0, 0.0, 2.0, 0.5]) + 7
    steps = axis_steps(z, 3)
    assert steps.shape == (3, 5) and [row.nonzero().flatten().tolist() for row in steps] == [[1], [3], [0]]
    torch.testing.assert_close(steps.norm(dim=1), torch.tensor([3.0, 2.0, 1.0]), rtol=0.05, atol=0)
    assert len(axis_steps(z, 9)) == 5, "there are no more"


def test_a_match_that_moves_all_else_is_worth_nothing() -> None:
    assert Match(0, 0.8, 0.25).alone == pytest.approx(0.6) and Match(0, 1.0, 1.0).alone == 0
