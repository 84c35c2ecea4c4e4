"""What the gate expects of comparisons: of pictures with each other, and of a version with the last accepted one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from soda.data.gate.accepted import MANY_TIMES
from soda.data.gate.expectations import Expectation, Said, between, empty
from soda.data.gate.kinds import TIMES

ENOUGH_JUDGED, MOST_GAINSAID = 50, 0.15
"""Labels that must be judged before their share says anything; the share above which it is a remark, where no accepted version
says a smaller one. Fashion-MNIST as it is has 0.05, with 10,000 of its labels permuted 0.2, with a third 0.32."""
ENOUGH_OTHERWISE = 0.01
"""Share of train that near copies under another label must be before they are named; the same pixels always are."""


def likeness_checks() -> Iterator[Expectation]:
    """Of what comparing pictures shows."""
    yield replace(
        empty("near_copy_elsewhere")(
            "No picture has a near copy in another split: saved again, resized, or changed in a few places.",
            "Pictures of which another split has a near copy",
            "What is judged on them is judged too well. Remove one of each, or, of a folder, draw anew: dataset.splits=content.",
        ),
        remark=True,
    )


def called_otherwise_check() -> Expectation:
    """Of pictures that are there under two labels."""
    return replace(
        empty("called_otherwise")(
            "No picture of train is there under two labels.",
            "Pictures that are there under another label, too",
            "One of the two is wrong: correct it in the raw data, or remove one of each.",
        ),
        remark=True,
    )


def gainsaid_check(
    gainsaid: int, judged: int, most: float, column: str = "label_gainsaid", alike: str = "most alike"
) -> Expectation:
    """Of labels that the neighbours gainsay, where they are more than the share `most`. alike: in words, by what."""
    return replace(
        empty(column)(
            f"Of labels that the pictures of train that are {alike} could confirm, at most {most:.1%} are gainsaid.",
            f"Of {judged:,} labels {gainsaid / judged:.0%} are gainsaid by the pictures that are {alike}",
            "Look at them; where labels were mixed up, correct them in the raw data.",
        ),
        remark=True,
    )


def vector_check() -> Expectation:
    """Of the components of z beside those of the last accepted version."""
    return replace(
        _larger("said_from", "distance")(
            "By the encoder, train is near the last accepted version.",
            "Components of z that moved since the last accepted version",
            "The distance is in deviations from picture to picture. Look what came and what went.",
        ),
        remark=True,
    )


def _larger(first: str, second: str) -> Said:
    arguments = {"column_A": first, "column_B": second, "or_equal": True, "ignore_row_if": "neither"}
    return partial(Expectation, "ExpectColumnPairValuesAToBeGreaterThanB", arguments)


def change_checks(path: Path) -> Iterator[Expectation]:
    """Of the statistics beside those of the last accepted version, which `path` holds."""
    yield _larger("stopped_from", "distance")(
        "No statistic of train is far from that of the last accepted version.",
        "Statistics far from those of the last accepted version",
        f"Were the pictures altered? If it is meant, take {path} away: this version is then the first.",
    )
    yield replace(
        _larger("said_from", "distance")(
            "Every statistic of train is near that of the last accepted version.",
            "Statistics that moved since the last accepted version",
            "The distance is in deviations from image to image; the bound is at least five times what chance explains.",
        ),
        remark=True,
    )


def label_change_checks(path: Path) -> Iterator[Expectation]:
    """Of the labels beside those of the last accepted version, which `path` holds."""
    yield between("gone", most=0)(
        "Every label of the last accepted version still occurs in train.",
        "Labels of the last accepted version that train has no more",
        f"Add pictures of them. If it is meant, take {path} away: this version is then the first.",
    )
    yield replace(
        between("factor", most=MANY_TIMES)(
            f"No label's share of train grew or shrank {MANY_TIMES:g} times since the last accepted version.",
            "Labels whose share of train changed much since the last accepted version",
            "Look whether pictures were lost, or labelled otherwise.",
        ),
        remark=True,
    )


def trait_change_checks() -> Iterator[Expectation]:
    """Of the traits of each label beside those of the last accepted version."""
    yield replace(
        _larger("said_from", "distance")(
            "The pictures of every label are like those of the last accepted version.",
            "Labels whose pictures are others than in the last accepted version",
            "Look at them: were they marked or altered, or are they called otherwise now?",
        ),
        remark=True,
    )


def kind_checks(by: str = "") -> Iterator[Expectation]:
    """Of the kinds of pictures of the last accepted version. by: in words, what they were found by."""
    yield replace(
        between("factor", most=TIMES)(
            f"No kind of picture{by} grew or shrank {TIMES:g} times since the last accepted version.",
            f"Kinds of pictures{by} whose share of train changed much since the last accepted version",
            "Look whether pictures of one kind were lost, or came many times.",
        ),
        remark=True,
    )


def unlike_check(share: float, most: float) -> Expectation:
    """Of pictures of train that are like none of the last accepted version, where they are more than the share `most`."""
    return replace(
        empty("unlike_all")(
            f"At most {most:.1%} of train is unlike every kind of picture of the last accepted version.",
            f"{share:.1%} of train is unlike every kind of picture of the last accepted version",
            "Look whether they are from another source.",
        ),
        remark=True,
    )


def newcomer_checks(since: str) -> Iterator[Expectation]:
    """Of the traits of what came since a version."""
    yield _larger("stopped_from", "distance")(
        f"What came since {since} is not far from it.",
        f"What came since {since} is far from it",
        "Were these pictures altered, or are they from another source? Take them out, or, if they are meant, let them pass once: "
        "gate.allow_failure=true.",
    )
    yield replace(
        _larger("said_from", "distance")(
            f"What came since {since} is near it.",
            f"What came since {since} differs from it",
            "The distance is in deviations from image to image.",
        ),
        remark=True,
    )


def new_unlike_check(share: float, most: float) -> Expectation:
    """Of new pictures that are like none of the anchor, where they are more than the share `most`."""
    return replace(
        empty("new_unlike")(
            f"At most {most:.1%} of what came is unlike every kind of picture that there was.",
            f"{share:.1%} of what came is unlike every kind of picture that there was",
            "Look whether these pictures were altered, or are from another source.",
        ),
        remark=True,
    )


def new_labels_check(most: float) -> Expectation:
    """Of the labels of what came since the last accepted version."""
    return between("share", most=most)(
        f"Of new labels that the most alike pictures could confirm, at most {most:.0%} are gainsaid.",
        "New labels that the pictures most alike gainsay",
        "Were labels mixed up? Correct them in the raw data.",
    )


def fewer_judged_check(path: Path) -> Expectation:
    """Of the share of labels that neighbours could judge, beside the last accepted version's."""
    return replace(
        between("times_fewer", most=MANY_TIMES)(
            f"The most alike pictures share a label as often as in the last accepted version, or {MANY_TIMES:g} times rarer.",
            "Labels that the pictures most alike no longer share",
            f"Were labels mixed up? The shares of the accepted version are in {path}.",
        ),
        remark=True,
    )
