"""Which direction of z, found without labels, moves which known factor, and how little it moves the others."""

from __future__ import annotations

from soda.evaluation.registry import Figure, Measure, Quantity, Row, Table

_SHARE, _SPOKEN = "{:.1%}", "{:.0%}"

MEASURE = Measure(
    key="attributes",
    title="Attribute directions",
    place=80,
    quantities=(
        Quantity("best_match.*.direction", "Direction that moves {} best"),
        Quantity("best_match.*.score", "How far the best direction moves {}", _SHARE, "higher"),
        Quantity("best_match.*.others", "Other factors that the best direction of {} changes", _SHARE, "lower"),
        Quantity("best_match.*.random_score", "How far the best random direction moves {}", _SHARE, "higher"),
        Quantity("best_match.*.random_others", "Other factors that the best random direction of {} changes", _SHARE, "lower"),
        Quantity(
            "mean_score",
            "How far the best direction moves a factor, mean",
            _SHARE,
            "higher",
            _SPOKEN,
            (("mean_random_score", "best of as many random directions"),),
        ),
        Quantity(
            "mean_others",
            "Other factors that change, mean",
            _SHARE,
            "lower",
            _SPOKEN,
            (("mean_random_others", "best of as many random directions"),),
        ),
        Quantity("mean_random_score", "How far the best random direction moves a factor, mean", _SHARE, "higher", _SPOKEN),
        Quantity("mean_random_others", "Other factors that change, best random directions, mean", _SHARE, "lower", _SPOKEN),
        Quantity("directions", "Directions that were found"),
    ),
    tables=(
        Table(
            "Attributes found without labels",
            ("Factor", "Direction", "Moves it", "Moves others", "Random: moves it", "Random: moves others"),
            (Row("{}", tuple(f"best_match.*.{k}" for k in ("direction", "score", "others", "random_score", "random_others"))),),
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
                ("other factors that change", "mean_others"),
            ),
            shipped=True,
        ),
        Figure(
            "directions",
            "Directions found without labels",
            "Test pictures moved from -3 to +3 standard deviations along directions of the latent, those that change pictures "
            "most first. Their numbers are what soda edit --direction takes.",
            shipped=True,
        ),
    ),
)
