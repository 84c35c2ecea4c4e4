"""Do mixes show the style of one image with the content of another?"""

from __future__ import annotations

from soda.evaluation.registry import Figure, Measure, Quantity, Row, Table

_SHARE = "{:.1%}"
_ALONE = {"content_alone": "The content alone", "style_alone": "The style alone"}


def _shares(name: str, title: str, *chance: tuple[str, str]) -> tuple[Quantity, ...]:
    beside = tuple((f"{name}_{ending}", words) for ending, words in _ALONE.items()) + chance
    return (
        Quantity(name, title, _SHARE, "higher", "{:.0%}", beside),
        *(Quantity(f"{name}_{ending}", f"{title}: {words}", _SHARE, spoken="{:.0%}") for ending, words in _ALONE.items()),
    )


MEASURE = Measure(
    key="mix",
    title="Mixes",
    place=70,
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
            shipped=True,
        ),
        Figure(
            "mix_cuts",
            "Style of one, content of the other, at every cut",
            "At the left the picture that gives the content, at the right the one that gives the style. Between them the latent "
            "is cut at every place: so many of its finest sections come from the style, the coarser ones from the content.",
            shipped=True,
        ),
    ),
)
