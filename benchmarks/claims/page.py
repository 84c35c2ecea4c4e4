"""docs/ablations.md: each claim in a sentence, with its curve and what would change the verdict; then all figures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import fmean, stdev

from benchmarks.claims.arms import STUDIES, Claim
from benchmarks.claims.results import PIXELS, TEST, UNTRAINED, Decision, Results, decide, difference_of
from soda.common.files import whole_file
from soda.viz.style import ACCENT, QUIET, RULE, WARN, chart

METRICS: dict[str, tuple[str, str, float]] = {
    "probe": ("linear probe, %", "{:.1f}", 100),
    "factor_probe": ("factors' probe, %", "{:.1f}", 100),
    "dci_d": ("DCI d", "{:.3f}", 1),
    "dci_c": ("DCI c", "{:.3f}", 1),
    "modularity": ("modularity", "{:.3f}", 1),
    "section_spread": ("sections' spread", "{:.3f}", 1),
    "usage_gap": ("use of z", "{:.2f}", 1),
    "val_loss": ("loss", "{:.4f}", 1),
}
"""Heading, format, factor."""
_SAID = {"holds": "**Holds here**", "opposite": "**The opposite holds here**", "undecided": "**Undecided**"}


def draw_curve(claim: Claim, results: Results, path: Path) -> None:
    """Both arms over the images they saw: a thin line a seed, a thick one for the mean; dashed: the untrained encoder."""
    heading, _, factor = METRICS[claim.metric]
    arms = STUDIES[claim.study].arms
    with chart(path, 4.6, 2.6) as figure:
        axes = figure.add_subplot()
        for arm, colour in ((claim.better, ACCENT), (claim.worse, WARN)):
            marks = results.marks(claim.study, arm)
            by_mark = [results.values(claim.study, arm, claim.metric, mark) for mark in marks]
            for seed in by_mark[-1]:
                axes.plot(marks, [factor * values[seed] for values in by_mark], color=colour, alpha=0.25, linewidth=0.7)
            means = [factor * fmean(values.values()) for values in by_mark]
            axes.plot(marks, means, color=colour, linewidth=1.8, marker="o", markersize=3, label=arms[arm].title.split(":")[0])
        untrained = results.values(claim.study, UNTRAINED, claim.metric, 0)
        if untrained:
            axes.axhline(factor * fmean(untrained.values()), color=QUIET, linestyle="--", linewidth=1, label="untrained encoder")
        axes.set_xscale("log")
        axes.set_xlabel("images seen")
        axes.set_ylabel(heading)
        axes.minorticks_off()
        ticks = sorted({mark for arm in (claim.better, claim.worse) for mark in results.marks(claim.study, arm)})
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.legend(frameon=False, fontsize=7)


def write_page(path: Path, images: Path, results: Results, *, command: str) -> list[Decision]:
    """Write the page and its curves for what has been measured so far. Returns the decisions that it states."""
    decisions = decide(results)
    lines = ["# The paper's claims, tried", "", _summary(decisions), "", f"{_protocol(command)} {_where(results)}", ""]
    for each in decisions:
        picture = images / f"claim_{each.claim.name}.png"
        draw_curve(each.claim, results, picture)
        lines += [f"## {each.claim.text}", "", _sentence(each), "", f"![{each.claim.text}]({_relative(picture, path)})", ""]
        lines += [_on_the_way(each.claim, results), "", f"What would change the verdict: {each.claim.would_change}.", ""]
    lines += _tables(results)
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return decisions


def _summary(decisions: list[Decision]) -> str:
    count = {kind: sum(each.verdict == kind for each in decisions) for kind in _SAID}
    return (
        f"Of {len(decisions)} claims {count['holds']} hold here, of {count['opposite']} the opposite holds, "
        f"{count['undecided']} are undecided."
    )


def _protocol(command: str) -> str:
    return (
        f"`{command}`. Two arms differ in what their names say alone and share seed, data and number of images; the network is "
        "half as wide as the default's. Everything is read on validation: probes are fitted on training images, their L2 chosen "
        "on one half of validation, the figure is of the other half. A difference is the mean of the differences of runs with "
        "the same seed; its interval is Student's of 95 %, p is of the paired t-test, corrected by Holm over all claims of this "
        "page; a claim is decided below .05. Sections' spread: best section minus worst at telling a factor. Use of z: loss with "
        "another image's z over that with its own, minus 1."
    )


def _where(results: Results) -> str:
    """How many runs were trained on what: noise and masks of one seed differ between kinds of device."""
    arms = {
        (row["study"], row["arm"], row["seed"], row["device"]) for row in results.rows if row["images"] and row["arm"] != TEST
    }
    counts = Counter(device for *_, device in arms)
    return f"Trained on: {', '.join(f'{device} {count} runs' for device, count in sorted(counts.items()))}." if counts else ""


def _sentence(each: Decision) -> str:
    heading, pattern, factor = METRICS[each.claim.metric]
    difference = each.difference
    effect, low, high = (_signed(value, pattern, factor) for value in (difference.effect, difference.low, difference.high))
    arms, data = STUDIES[each.claim.study].arms, STUDIES[each.claim.study].title
    return (
        f"{_SAID[each.verdict]}, on {data}, after {each.images:,} images: {arms[each.claim.better].title.split(':')[0]} against "
        f"{arms[each.claim.worse].title.split(':')[0]}, {heading}: {effect} (95 %: {low} to {high}; {difference.pairs} seeds; "
        f"p = {each.adjusted_p:.2g} corrected)."
    )


def _on_the_way(claim: Claim, results: Results) -> str:
    _, pattern, factor = METRICS[claim.metric]
    found = [(mark, difference_of(claim, results, mark)) for mark in results.marks(claim.study, claim.worse)]
    cells = [f"{_signed(d.effect, pattern, factor)} after {mark:,}" for mark, d in found if d]
    return f"On the way: {', '.join(cells)} images." if cells else ""


def _signed(value: float, pattern: str, factor: float) -> str:
    return f"{'+' if value >= 0 else '−'}{pattern.format(abs(factor * value))}"


def _relative(picture: Path, page: Path) -> str:
    return picture.relative_to(page.parent).as_posix()


def _tables(results: Results) -> list[str]:
    lines = ["## All figures", "", "Mean ± standard deviation over seeds, at the last mark.", ""]
    for study, settings in STUDIES.items():
        titles = {arm: each.title for arm, each in settings.arms.items()}
        titles |= {UNTRAINED: "untrained encoder", PIXELS: "raw pixels", TEST: "the base, on the test split, read once"}
        shown = [m for m in METRICS if any(row["study"] == study and m in row["metrics"] for row in results.rows)]
        if not shown:
            continue
        lines += [f"### {settings.title[0].upper()}{settings.title[1:]}", ""]
        lines += ["| arm | images | seeds | " + " | ".join(METRICS[m][0] for m in shown) + " |", "|---" * (len(shown) + 3) + "|"]
        for arm, title in titles.items():
            marks = results.marks(study, arm)
            if marks:
                cells = [_cell(list(results.values(study, arm, m, marks[-1]).values()), m) for m in shown]
                seeds = len({row["seed"] for row in results.rows if (row["study"], row["arm"]) == (study, arm)})
                lines.append(f"| {title} | {marks[-1]:,} | {seeds} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def _cell(values: list[float], metric: str) -> str:
    _, pattern, factor = METRICS[metric]
    if not values:
        return ""
    mean = pattern.format(factor * fmean(values))
    return f"{mean} ± {pattern.format(factor * stdev(values))}" if len(values) > 1 else mean
