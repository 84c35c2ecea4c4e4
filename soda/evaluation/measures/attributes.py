"""Which direction of z, found without labels, moves which known factor, and how little it moves the others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from soda.evaluation.registry import Beside, Figure, Measure, Quantity, Row, Table

if TYPE_CHECKING:
    from torch import Tensor

    from soda.evaluation.context import EvaluationContext
    from soda.evaluation.scene import FactorScene

_SHARE, _SPOKEN = "{:.1%}", "{:.0%}"

_KEYS = ("score", "others")
_SETS = {"": "Found without labels", "random_": "Drawn at random, as z spreads", "axis_": "Axes of z"}
"""Directions that are compared: what their keys begin with, their name."""

STRIP_IMAGES, STRIP_STEPS, STRIP_ENDS = 2, 7, 3.0
DIRECTIONS = 8  # on the sheet


def compute(context: EvaluationContext) -> dict[str, Any]:
    """The direction that moves each factor best, its score, how much else moves; beside as many random ones and axes of z."""
    import torch

    from soda.evaluation.baselines.factor_reader import read
    from soda.evaluation.responses import REACH, Responses, axis_steps, best_match, random_steps, responses

    _draw_directions(context)
    if (scene := context.scene) is None:
        return {}
    config, steps = context.config, torch.stack([each.sigma * each.vector.float() for each in context.directions])
    z = {split: scene.z[split][: config.attribute_images] for split in ("val", "test")}
    if not len(z["val"]):
        return {"notes": ["No attributes: directions are chosen on validation pictures, and there are none."]}

    def respond(split: str, directions: Tensor) -> Responses:
        return responses(z[split], directions, context.paint, lambda images: read(scene.reader, images).chances)

    respond_on = {split: partial(respond, split) for split in z}
    matches = best_match(steps, respond_on)
    beside = {
        "random_": random_steps(scene.z["train"], len(steps), config.seed, steps.norm(dim=1)),
        "axis_": axis_steps(scene.z["train"], len(steps)),
    }
    others = {prefix: best_match(each, respond_on) for prefix, each in beside.items()}
    _draw_strips(context, scene, steps, {name: match.direction for name, match in matches.items()})
    return {
        "best_match": {
            name: {
                **vars(match),
                **{f"{prefix}{key}": getattr(found[name], key) for prefix, found in others.items() for key in _KEYS},
            }
            for name, match in matches.items()
        },
        **{
            f"mean_{prefix}{key}": float(np.mean([getattr(match, key) for match in found.values()]))
            for prefix, found in {"": matches, **others}.items()
            for key in (*_KEYS, "alone")
        },
        **{f"{prefix}spread": float(each.norm(dim=1).mean()) for prefix, each in {"": steps, **beside}.items()},
        "directions": len(steps),
        "notes": [
            f"Of the {len(steps)} directions that were found without labels, the one that moves each factor best, read by a "
            f"classifier off pictures drawn at -{REACH:g} and +{REACH:g} standard deviations: chosen on {len(z['val'])} "
            f"validation pictures, scored on {len(z['test'])} test pictures. score: distance (total variation, 0 to 1) between "
            "the factor's mean chances at the two ends; others: share of pictures whose answer for another factor changes, mean "
            "over these; alone: score * (1 - others), which they are chosen by. random_...: the best of as many directions drawn "
            "at random with the covariance of z, each as long as one that was found, chosen alike; axis_...: of as many single "
            "components of z, those of the greatest spread. ...spread: the length of a step, mean: a standard deviation of z "
            "along it, at random that of the direction it stands beside."
        ],
    }


def _draw_strips(context: EvaluationContext, scene: FactorScene, steps: Tensor, best: dict[str, int]) -> None:
    """attributes.png: test images moved along the best direction of each factor."""
    import torch

    from soda.common.images import to_uint8
    from soda.viz.grids import attribute_strips

    z, amounts = scene.z["test"][:STRIP_IMAGES], torch.linspace(-STRIP_ENDS, STRIP_ENDS, STRIP_STEPS)
    strips = []
    for direction in best.values():
        moved = z[:, None] + amounts[None, :, None] * steps[direction]  # (P, T, D)
        drawn = to_uint8(context.draw(moved.flatten(0, 1), alike=True))
        strips.append(drawn.reshape(len(z), STRIP_STEPS, *drawn.shape[1:]))
    titles = [f"{name}: {direction}" for name, direction in best.items()]
    attribute_strips(np.stack(strips), titles, STRIP_ENDS, context.folder / "attributes.png")


def _draw_directions(context: EvaluationContext) -> None:
    """directions.png: test images moved along the directions that change images most."""
    from soda.viz.sheets import direction_sheet, save_sheet

    found = context.directions
    units: dict[int | str, float] = dict.fromkeys(range(min(DIRECTIONS, len(found))), 1.0)
    edit = partial(context.soda.edit, context.shown[:STRIP_IMAGES], seed=context.config.seed)
    save_sheet(direction_sheet(edit, found, units, side=64), context.folder / "directions.png")


def _beside(key: str) -> Beside:
    return ((f"mean_random_{key}", "best of as many random directions"), (f"mean_axis_{key}", "best of as many axes of z"))


MEASURE = Measure(
    key="attributes",
    title="Attribute directions",
    place=80,
    compute=compute,
    quantities=(
        Quantity("best_match.*.direction", "Direction that moves {} best"),
        Quantity("best_match.*.score", "How far the best direction moves {}", _SHARE, "higher"),
        Quantity("best_match.*.others", "Other factors that the best direction of {} changes", _SHARE, "lower"),
        Quantity("best_match.*.random_score", "How far the best random direction moves {}", _SHARE, "higher"),
        Quantity("best_match.*.random_others", "Other factors that the best random direction of {} changes", _SHARE, "lower"),
        Quantity("best_match.*.axis_score", "How far the best axis of z moves {}", _SHARE, "higher"),
        Quantity("best_match.*.axis_others", "Other factors that the best axis of z of {} changes", _SHARE, "lower"),
        Quantity("mean_score", "How far the best direction moves a factor, mean", _SHARE, "higher", _SPOKEN, _beside("score")),
        Quantity("mean_others", "Other factors that change, mean", _SHARE, "lower", _SPOKEN, _beside("others")),
        Quantity("mean_random_score", "How far the best random direction moves a factor, mean", _SHARE, "higher", _SPOKEN),
        Quantity("mean_random_others", "Other factors that change, best random directions, mean", _SHARE, "lower", _SPOKEN),
        Quantity("mean_axis_score", "How far the best axis of z moves a factor, mean", _SHARE, "higher", _SPOKEN),
        Quantity("mean_axis_others", "Other factors that change, best axes of z, mean", _SHARE, "lower", _SPOKEN),
        *(Quantity(f"mean_{k}alone", f"{v}: move it and not others, mean", _SHARE, "higher") for k, v in _SETS.items()),
        *(Quantity(f"{k}spread", f"{v}: spread of z along one, mean", "{:.2f}") for k, v in _SETS.items()),
        Quantity("directions", "Directions that were found"),
    ),
    tables=(
        Table(
            "Attributes found without labels",
            (
                "Factor",
                "Direction",
                *("Moves it", "Moves others"),
                *("Random: moves it", "Random: moves others"),
                *("Axis: moves it", "Axis: moves others"),
            ),
            (Row("{}", ("best_match.*.direction", *(f"best_match.*.{prefix}{key}" for prefix in _SETS for key in _KEYS))),),
        ),
        Table(
            "Directions of three kinds, the best of as many for each factor",
            ("Directions", "Move it, mean", "Move others, mean", "Move it alone, mean", "Spread of z along one"),
            tuple(
                Row(title, (*(f"mean_{prefix}{key}" for key in (*_KEYS, "alone")), f"{prefix}spread"), ours=not prefix)
                for prefix, title in _SETS.items()
            ),
        ),
    ),
    figures=(
        Figure(
            "attributes",
            "Attributes found without labels",
            "Test pictures moved along the direction of the latent that changes the named attribute most. The names come from "
            "the data; the directions were found without them.",
            (
                ("how far the best direction moves a factor, mean", "mean_score"),
                ("the best of as many random ones", "mean_random_score"),
                ("the best of as many axes of z", "mean_axis_score"),
                ("other factors that change", "mean_others"),
            ),
        ),
        Figure(
            "directions",
            "Directions found without labels",
            "Test pictures moved from -3 to +3 standard deviations along directions of the latent, those that change pictures "
            "most first. Their numbers are what soda edit --direction takes.",
        ),
    ),
)
