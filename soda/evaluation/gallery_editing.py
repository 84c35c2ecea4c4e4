"""Groups of metrics of what z can do: mixes of two pictures, and moves along directions."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soda.common.images import to_uint8
from soda.evaluation.attributes import REACH, Responses, best_match, random_steps, responses
from soda.evaluation.factor_reader import accuracy, read
from soda.evaluation.gallery_figures import attribute_strips, mix_grid
from soda.evaluation.gallery_scene import FactorScene
from soda.evaluation.mixing import Mixer, choose, draw_pairs, measure_mixes
from soda.evaluation.sections import describe_cut
from soda.inference.mixing import mix

GRID = 6
STRIP_PICTURES, STRIP_STEPS, STRIP_ENDS = 2, 7, 3.0

Metrics = dict[str, Any]


def mix_group(scene: FactorScene) -> Metrics:
    """Style of one picture, content of another: the cut chosen on validation, figures and grid on test."""
    subject, config = scene.subject, scene.config
    sections = subject.model.sections
    if subject.model.latent_dim % sections or not subject.model.denoiser.layer_modulation:
        return {"notes": ["No mixes: the model was trained without layer modulation, so that its latent has no sections."]}
    mixers = {
        split: Mixer(
            scene.z[split],
            scene.factors.codes[split],
            read(scene.reader, scene.pictures(split, len(scene.positions[split]))),
            subject.paint,
            scene.reader,
            sections,
        )
        for split in ("val", "test")
    }
    real = accuracy(mixers["test"].real, mixers["test"].codes)
    choice = choose(mixers["val"], max(2, config.mix_pairs // 2), config.seed, scene.roles)
    if choice is None:
        return {"reader_accuracy": real, "notes": ["No mixes: no cut of z gives validation mixes a style and a content."]}
    roles = choice.roles
    scores = measure_mixes(mixers["test"], choice, config.mix_pairs, config.seed)
    mixed = scores["mixed"]
    found: Metrics = {
        "style_accuracy": mixed.style,
        "content_retrieval": mixed.retrieval,
        "content_chance": mixed.chance,
        "style_accuracy_content_alone": scores["content alone"].style,
        "style_accuracy_style_alone": scores["style alone"].style,
        "content_retrieval_content_alone": scores["content alone"].retrieval,
        "content_retrieval_style_alone": scores["style alone"].retrieval,
        "style_from": describe_cut(choice.chosen, sections),
        "style_factors": ", ".join(roles.style),
        "content_factors": ", ".join(roles.content),
        "by_factor": {name: {"shows_style": a, "shows_content": b} for name, (a, b) in mixed.by_factor.items()},
        "reader_accuracy": real,
        "pairs": config.mix_pairs,
    }
    _mix_figure(scene, choice.chosen)
    seen = "more validation mixes take them from A than from B, by two standard errors where a cut allows it; the other way"
    who = "given" if scene.roles else f"{seen}: {found['content_factors']}"
    how = (
        "nearest by an embedding, trained on other contents, among the test pictures of the style that is wanted"
        if roles.held_out
        else "likeliest by the classifier among the pictures that the mixes are made of"
    )
    found["notes"] = [
        f"Mixes take {found['style_from']} from picture A and the rest from B, A and B being test pictures; the cut is the best "
        f"on validation{', of either side' if scene.roles else ''}. Style factors: {found['style_factors']} ({who}).",
        "style_accuracy: mixes in which a classifier reads A's value, of pairs that differ in it, mean over style factors. "
        f"content_retrieval: mixes whose {how} has B's content. The classifier was trained on training pictures, softened, and "
        "never saw z; reader_accuracy is its accuracy on real test pictures. ..._content_alone and ..._style_alone: B and A "
        "drawn from their own z, in the mixes' place.",
    ]
    return found


def _mix_figure(scene: FactorScene, chosen: tuple[int, ...]) -> None:
    paint, sections, z = scene.subject.paint, scene.subject.model.sections, scene.z["test"]
    names = (scene.roles.style[0], scene.roles.content[0]) if scene.roles else tuple(scene.names)
    a, b = draw_pairs(scene.factors.codes["test"], names, 40 * GRID, scene.config.seed + 1)
    # One picture of each style first, where the style has few values.
    kind = scene.factors.codes["test"][names[0]]
    first = np.unique(kind[a], return_index=True)[1] if scene.roles else np.arange(0)
    styles = np.unique(np.concatenate([a[np.sort(first)], a]), return_index=True)
    styles_in_order = np.concatenate([a[np.sort(first)], a])[np.sort(styles[1])][:GRID]
    contents = np.array([p for p in dict.fromkeys(b.tolist()) if p not in set(styles_in_order.tolist())][:GRID], np.int64)
    if not len(contents):
        return
    rows = [
        to_uint8(paint.floats(mix(z[styles_in_order], z[[c]].expand(len(styles_in_order), -1), chosen, sections), alike=True))
        for c in contents
    ]
    real = scene.subject.samples["test"]
    at = scene.positions["test"]
    mix_grid(real.gather(at[styles_in_order]), real.gather(at[contents]), np.stack(rows), scene.folder / "mix.png")


def attribute_group(scene: FactorScene) -> Metrics:
    """The direction that moves each factor best, its score, how much else moves; beside as many directions drawn at random."""
    steps, z = scene.directions, {split: scene.z[split][: scene.config.attribute_images] for split in ("val", "test")}

    if not len(z["val"]):
        return {"notes": ["No attributes: directions are chosen on validation pictures, and there are none."]}

    def respond(split: str, directions: Tensor) -> Responses:
        return responses(z[split], directions, scene.subject.paint, lambda pictures: read(scene.reader, pictures).chances)

    respond_on = {split: partial(respond, split) for split in z}
    matches = best_match(steps, respond_on)
    random = best_match(random_steps(scene.z["train"], len(steps), scene.config.seed), respond_on)
    table = {
        name: {
            "direction": match.direction,
            "score": match.score,
            "others": match.others,
            "random_score": random[name].score,
            "random_others": random[name].others,
        }
        for name, match in matches.items()
    }
    _attribute_figure(scene, steps, {name: match.direction for name, match in matches.items()})
    return {
        "best_match": table,
        "mean_score": float(np.mean([match.score for match in matches.values()])),
        "mean_others": float(np.mean([match.others for match in matches.values()])),
        "mean_random_score": float(np.mean([match.score for match in random.values()])),
        "mean_random_others": float(np.mean([match.others for match in random.values()])),
        "directions": len(steps),
        "notes": [
            f"Of the {len(steps)} directions that were found without labels, the one that moves each factor best, read by a "
            f"classifier off pictures drawn at -{REACH:g} and +{REACH:g} standard deviations: chosen on {len(z['val'])} "
            f"validation pictures, scored on {len(z['test'])} test pictures. score: distance (total variation, 0 to 1) between "
            "the factor's mean chances at the two ends; others: share of pictures whose answer for another factor changes, mean "
            "over these. random_...: the best of as many directions drawn at random with the covariance of z, chosen alike.",
        ],
    }


def _attribute_figure(scene: FactorScene, steps: Tensor, best: dict[str, int]) -> None:
    z = scene.z["test"][:STRIP_PICTURES]
    amounts = torch.linspace(-STRIP_ENDS, STRIP_ENDS, STRIP_STEPS)
    strips = []
    for direction in best.values():
        moved = z[:, None] + amounts[None, :, None] * steps[direction].to(z)  # (P, T, D)
        drawn = to_uint8(scene.subject.paint.floats(moved.flatten(0, 1), alike=True))
        strips.append(drawn.reshape(len(z), STRIP_STEPS, *drawn.shape[1:]))
    titles = [f"{name}: {direction}" for name, direction in best.items()]
    attribute_strips(np.stack(strips), titles, STRIP_ENDS, scene.folder / "attributes.png")
