"""Do mixes show the style of one image with the content of another?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from soda.evaluation.registry import Figure, Measure, Quantity, Row, Table

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext
    from soda.evaluation.mix_scores import Choice, MixScore
    from soda.evaluation.scene import FactorScene

_SHARE = "{:.1%}"
_ALONE = {"content_alone": "The content alone", "style_alone": "The style alone"}


def _shares(name: str, title: str, *chance: tuple[str, str]) -> tuple[Quantity, ...]:
    beside = tuple((f"{name}_{ending}", words) for ending, words in _ALONE.items()) + chance
    return (
        Quantity(name, title, _SHARE, "higher", "{:.0%}", beside),
        *(Quantity(f"{name}_{ending}", f"{title}: {words}", _SHARE, spoken="{:.0%}") for ending, words in _ALONE.items()),
    )


GRID = 6


def compute(context: EvaluationContext) -> dict[str, Any]:
    """Style of one image, content of another: the cut chosen on validation, figures and grid on test."""
    from soda.evaluation.baselines.factor_reader import accuracy, read
    from soda.evaluation.mix_scores import Mixer, choose, measure_mixes

    model, config = context.model, context.config
    if model.denoiser.layer_modulation:
        _draw_every_cut(context)
    if (scene := context.scene) is None:
        return {}
    if model.latent_dim % model.sections or not model.denoiser.layer_modulation:
        return {"notes": ["No mixes: the model was trained without layer modulation, so that its latent has no sections."]}
    mixers = {
        split: Mixer(
            scene.z[split],
            scene.factors.codes[split],
            read(scene.reader, scene.images(split)),
            context.paint,
            scene.reader,
            model.sections,
        )
        for split in ("val", "test")
    }
    real = accuracy(mixers["test"].real, mixers["test"].codes)
    choice = choose(mixers["val"], max(2, config.mix_pairs // 2), config.seed, scene.roles)
    if choice is None:
        return {"reader_accuracy": real, "notes": ["No mixes: no cut of z gives validation mixes a style and a content."]}
    scores = measure_mixes(mixers["test"], choice, config.mix_pairs, config.seed)
    _draw_grid(context, scene, choice.chosen)
    return {**_figures(scores, choice, model.sections), "reader_accuracy": real, "pairs": config.mix_pairs} | {
        "notes": _notes(scene, choice, model.sections)
    }


def _figures(scores: dict[str, MixScore], choice: Choice, sections: int) -> dict[str, Any]:
    from soda.evaluation.section_probes import describe_cut

    mixed, content, style = (scores[name] for name in ("mixed", "content alone", "style alone"))
    return {
        "style_accuracy": mixed.style,
        "content_retrieval": mixed.retrieval,
        "content_chance": mixed.chance,
        "style_accuracy_content_alone": content.style,
        "style_accuracy_style_alone": style.style,
        "content_retrieval_content_alone": content.retrieval,
        "content_retrieval_style_alone": style.retrieval,
        "style_from": describe_cut(choice.chosen, sections),
        "style_factors": ", ".join(choice.roles.style),
        "content_factors": ", ".join(choice.roles.content),
        "by_factor": {name: {"shows_style": a, "shows_content": b} for name, (a, b) in mixed.by_factor.items()},
    }


def _notes(scene: FactorScene, choice: Choice, sections: int) -> list[str]:
    from soda.evaluation.section_probes import describe_cut

    style, content = (", ".join(names) for names in (choice.roles.style, choice.roles.content))
    seen = "more validation mixes take them from A than from B, by two standard errors where a cut allows it; the other way"
    who = "given" if scene.roles else f"{seen}: {content}"
    how = (
        "nearest by an embedding, trained on other contents, among the test pictures of the style that is wanted"
        if choice.roles.held_out
        else "likeliest by the classifier among the pictures that the mixes are made of"
    )
    return [
        f"Mixes take {describe_cut(choice.chosen, sections)} from picture A and the rest from B, A and B being test pictures; "
        f"the cut is the best on validation{', of either side' if scene.roles else ''}. Style factors: {style} ({who}).",
        "style_accuracy: mixes in which a classifier reads A's value, of pairs that differ in it, mean over style factors. "
        f"content_retrieval: mixes whose {how} has B's content. The classifier was trained on training pictures, softened, and "
        "never saw z; reader_accuracy is its accuracy on real test pictures. ..._content_alone and ..._style_alone: B and A "
        "drawn from their own z, in the mixes' place.",
    ]


def _draw_grid(context: EvaluationContext, scene: FactorScene, chosen: tuple[int, ...]) -> None:
    """mix.png: test images that give the style above, others that give the content at the left."""
    from soda.common.images import to_uint8
    from soda.evaluation.mix_scores import draw_pairs
    from soda.inference.mixing import mix
    from soda.viz.grids import mix_grid

    z, real, sections = scene.z["test"], scene.samples["test"], context.model.sections
    names = (scene.roles.style[0], scene.roles.content[0]) if scene.roles else tuple(scene.names)
    a, b = draw_pairs(scene.factors.codes["test"], names, 40 * GRID, context.config.seed + 1)
    # One image of each style first, where the style has few values.
    kind = scene.factors.codes["test"][names[0]]
    first = np.unique(kind[a], return_index=True)[1] if scene.roles else np.arange(0)
    styles = np.array(list(dict.fromkeys([*a[np.sort(first)].tolist(), *a.tolist()])), np.int64)[:GRID]
    contents = np.array([p for p in dict.fromkeys(b.tolist()) if p not in set(styles.tolist())][:GRID], np.int64)
    if not len(contents):
        return
    rows = [
        to_uint8(context.draw(mix(z[styles], z[[c]].expand(len(styles), -1), chosen, sections), alike=True)) for c in contents
    ]
    mix_grid(real.gather(styles), real.gather(contents), np.stack(rows), context.folder / "mix.png")


def _draw_every_cut(context: EvaluationContext) -> None:
    """mix_cuts.png: pairs of test images mixed at every cut."""
    from soda.viz.sheets import grid, save_sheet

    rows = [
        [content, *context.soda.mix(style, content, every_cut=True, seed=context.config.seed), style]
        for style, content in zip(*context.shown_pairs, strict=True)
    ]
    if rows:
        labels = ["content", *(f"{cut} from style" for cut in range(context.model.sections + 1)), "style"]
        save_sheet(grid(rows, column_labels=labels, lead_column=True), context.folder / "mix_cuts.png")


MEASURE = Measure(
    key="mix",
    title="Mixes",
    place=70,
    compute=compute,
    quantities=(
        *_shares("style_accuracy", "Mixes that show the style asked for"),
        *_shares("content_retrieval", "Mixes that lead to the content", ("content_chance", "Chance")),
        Quantity("content_chance", "Content found by chance", _SHARE),
        Quantity("style_from", "Sections that the style is taken from"),
        Quantity("style_factors", "Factors that are style"),
        Quantity("content_factors", "Factors that are content"),
        Quantity("by_factor.*.shows_style", "Mixes that show {} of the style’s picture", _SHARE),
        Quantity("by_factor.*.shows_content", "Mixes that show {} of the content’s picture", _SHARE),
        Quantity("reader_accuracy.*", "Accuracy of the classifier that reads {}", _SHARE, "higher"),
        Quantity("pairs", "Pairs that were mixed"),
    ),
    tables=(
        Table(
            "Style and content",
            ("Pictures", "Style of A", "Content of B found"),
            (
                Row("Mixes", ("style_accuracy", "content_retrieval"), ours=True),
                *(Row(words, (f"style_accuracy_{k}", f"content_retrieval_{k}")) for k, words in _ALONE.items()),
                Row("Chance", ("", "content_chance")),
            ),
        ),
    ),
    figures=(
        Figure(
            "mix",
            "Style of one, content of the other",
            "Pictures drawn from some sections of the latent of the picture above and the other sections of the picture at the "
            "left, none of which the model was trained on.",
            (
                ("mixes that show the style asked for", "style_accuracy"),
                ("that show the content", "content_retrieval"),
                ("content by chance", "content_chance"),
            ),
        ),
        Figure(
            "mix_cuts",
            "Style of one, content of the other, at every cut",
            "At the left the picture that gives the content, at the right the one that gives the style. Between them the latent "
            "is cut at every place: so many of its finest sections come from the style, the coarser ones from the content.",
        ),
    ),
)
