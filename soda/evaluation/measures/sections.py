"""What each section of z knows of each known factor, by linear probes."""

from __future__ import annotations

from soda.evaluation.registry import Figure, Measure, Quantity, Row, Table

_OF = {
    "linear_top1": "SODA latent",
    "pixels_linear_top1": "Pixels",
    "random_linear_top1": "Untrained encoder",
    "majority_top1": "Commonest value",
}
_SHARE = "{:.1%}"

MEASURE = Measure(
    key="sections",
    title="Sections",
    place=60,
    quantities=(
        *(Quantity(f"by_factor.*.{key}", f"Linear probe of {{}}: {title}", _SHARE, "higher") for key, title in _OF.items()),
        Quantity("by_factor.*.section_*", "Linear probe of a factor from one section", _SHARE, "higher"),
        Quantity("section_spread", "Best section minus worst, mean over factors", _SHARE, spoken="{:.0%}"),
    ),
    tables=(
        Table(
            "Known factors, told by a linear probe",
            ("Factor", *_OF.values()),
            (Row("{}", tuple(f"by_factor.*.{key}" for key in _OF)),),
        ),
    ),
    figures=(
        Figure(
            "section_factors",
            "What each section knows",
            "Percent of test pictures whose value of a known factor (column) a linear probe tells from one section (row).",
            (("best section minus worst, mean", "section_spread"),),
            chart=True,
            shipped=True,
        ),
    ),
)
