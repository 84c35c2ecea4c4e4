"""What each section of z knows of each known factor, by linear probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.evaluation.paired import P_FORMAT
from soda.evaluation.registry import Figure, Measure, Quantity, Row, Table

if TYPE_CHECKING:
    from soda.evaluation.context import EvaluationContext

_OF = {
    "linear_top1": "SODA latent",
    "pixels_linear_top1": "Pixels",
    "random_linear_top1": "Untrained encoder",
    "majority_top1": "Commonest value",
}
_BESIDE = {"pixels": "Pixels", "random": "Untrained encoder"}
_SHARE = "{:.1%}"

PIXEL_COMPONENTS = 256  # of the pixel probes: nearly all of the variance, at a tenth of the cost
COMMON = 4  # factors whose probes stand beside those of pixels and of the untrained encoder


def compute(context: EvaluationContext) -> dict[str, Any]:
    """How well each section, and z, tell each factor; for the commonest ones beside pixels and the untrained encoder."""
    from soda.evaluation.paired import against, right
    from soda.evaluation.section_probes import MAX_TRAIN, probe_factor, section_probes
    from soda.viz.charts import section_matrix

    if (scene := context.scene) is None:
        return {}
    model, l2 = context.model, context.config.probe_l2[::2]  # dozens of probes: half of the candidates
    divisible = model.latent_dim % model.sections == 0
    probes = section_probes(scene.z, scene.factors, scene.names, model.sections if divisible else 1, l2)
    section_matrix(scene.names, probes.by_section, probes.whole, probes.majority, context.folder / "section_factors.png")
    by_factor: dict[str, dict[str, float]] = {}
    for k, name in enumerate(scene.names):
        by_factor[name] = {"linear_top1": float(probes.whole[k]), "majority_top1": float(probes.majority[k])}
        by_factor[name] |= {f"section_{s}": float(row[k]) for s, row in enumerate(probes.by_section)}
    beside = {"pixels": scene.pixel_components(PIXEL_COMPONENTS), "random": scene.encoded(context.untrained[0])}
    for name in scene.names[:COMMON]:
        probed = {of: probe_factor(x, scene.factors, name, l2) for of, x in beside.items()}
        by_factor[name] |= {f"{of}_linear_top1": each.test_top1 for of, each in probed.items()}
        paired = against(probes.right[name], {of: right(each) for of, each in probed.items()})
        by_factor[name] |= {f"{of}_p": each["p"] for of, each in paired.items()}
    notes = [
        "The linear probe of the labels, on each of the known factors: from every section alone, from all of z, and for the "
        f"{COMMON} commonest factors from the first {PIXEL_COMPONENTS} principal components of the pixels and from the untrained "
        f"encoder; at most {MAX_TRAIN:,} training pictures, every second candidate of the L2. Section 0 is the finest.",
        "…_p: McNemar's exact test of z against the others on the same test images, two-sided, one for each factor and not "
        "corrected for their number.",
        "section_spread: best section minus worst, of the way from always naming the commonest value to all right, mean over "
        "factors; 0 when all sections know the same.",
    ]
    if not model.denoiser.layer_modulation:
        notes.append("The model was trained without layer modulation: its sections are arbitrary parts of z.")
    spread = float((probes.lift.max(0) - probes.lift.min(0)).mean())
    return {"by_factor": by_factor, "section_spread": spread, "notes": notes}


MEASURE = Measure(
    key="sections",
    title="Sections",
    place=60,
    compute=compute,
    quantities=(
        *(Quantity(f"by_factor.*.{key}", f"Linear probe of {{}}: {title}", _SHARE, "higher") for key, title in _OF.items()),
        *(
            Quantity(f"by_factor.*.{k}_p", f"Latent against {title.lower()}, {{}}: p of McNemar’s test", P_FORMAT)
            for k, title in _BESIDE.items()
        ),
        Quantity("by_factor.*.section_*", "Linear probe of a factor from one section", _SHARE, "higher"),
        Quantity("section_spread", "Best section minus worst, mean over factors", _SHARE, spoken="{:.0%}"),
    ),
    tables=(
        Table(
            "Known factors, told by a linear probe",
            ("Factor", *_OF.values(), *(f"p: latent against {title.lower()}" for title in _BESIDE.values())),
            (Row("{}", (*(f"by_factor.*.{key}" for key in _OF), *(f"by_factor.*.{key}_p" for key in _BESIDE))),),
        ),
    ),
    figures=(
        Figure(
            "section_factors",
            "What each section knows",
            "Percent of test pictures whose value of a known factor (column) a linear probe tells from one section (row).",
            (("best section minus worst, mean", "section_spread"),),
            chart=True,
        ),
    ),
)
