"""docs/ablations.md: means and spreads of every variant, and which of the claims hold here."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from benchmarks.ablation_variants import CLAIMS, VARIANTS, Claim
from soda.common.files import whole_file
from soda.config import Config

Results = dict[str, list[dict[str, float]]]

# Metric: heading, format, factor.
METRICS: dict[str, tuple[str, str, float]] = {
    "probe": ("linear probe, %", "{:.1f}", 100),
    "factor_probe": ("factors' probe, %", "{:.1f}", 100),
    "psnr": ("PSNR, dB", "{:.2f}", 1),
    "lpips_like": ("LPIPS-like", "{:.4f}", 1),
    "usage_gap": ("use of z", "{:.2f}", 1),
    "dci_d": ("DCI d", "{:.3f}", 1),
    "dci_c": ("DCI c", "{:.3f}", 1),
    "modularity": ("modularity", "{:.3f}", 1),
    "section_spread": ("sections' spread", "{:.3f}", 1),
    "images": ("images", "{:,.0f}", 1),
}


def _values(runs: list[dict[str, float]], metric: str) -> list[float]:
    return [run[metric] for run in runs if metric in run]


def _cell(values: list[float], metric: str) -> str:
    _, pattern, factor = METRICS[metric]
    if not values:
        return ""
    mean = pattern.format(factor * statistics.fmean(values))
    return f"{mean} ± {pattern.format(factor * statistics.stdev(values))}" if len(values) > 1 else mean


def judge(claim: Claim, results: Results) -> tuple[float, float, str] | None:
    """(difference in the claimed sense, its standard error, verdict); None where one side was not measured at least twice.

    A difference counts that is over twice its standard error (Welch), with so few seeds a rule of thumb and no test.
    """
    better, worse = (_values(results.get(name, []), claim.metric) for name in (claim.better, claim.worse))
    if min(len(better), len(worse)) < 2:
        return None
    difference = statistics.fmean(better) - statistics.fmean(worse)
    difference = -difference if claim.less else difference
    error = math.sqrt(statistics.variance(better) / len(better) + statistics.variance(worse) / len(worse))
    if abs(difference) <= 2 * error:
        return difference, error, "no difference seen"
    return difference, error, "**holds**" if difference > 0 else "**does not hold**: the opposite"


def _settings(base: Config) -> str:
    """The settings that decide most of the figures: params.yaml, where they come from, changes with the project."""
    model, train = base.model, base.train
    widths = " ".join(str(model.channels * factor) for factor in model.channel_mult)
    return (
        f"The base: encoder {model.encoder}, width {model.encoder_width}; U-Net channels {widths}; "
        f"batches of {train.batch_size}, learning rate {train.lr:g}; "
        f"masks {model.section_drop:g} (section) and {model.latent_drop:g} (whole)."
    )


def write_report(
    path: Path, results: Results, *, base: Config, dataset: str, data_version: str, command: str, seconds: float
) -> None:
    """Write the page for what has been measured so far, whole or not at all."""
    shown = [metric for metric in METRICS if any(_values(runs, metric) for runs in results.values())]
    counts = {len(runs) for runs in results.values() if runs}
    seeds = "–".join(map(str, sorted({min(counts), max(counts)}))) + (" seeds" if max(counts) > 1 else " seed")
    threaded = f"{base.train.threads} threads" if base.train.threads > 1 else "one thread"
    lines = [
        "# Ablations",
        "",
        f"`{command}`: {dataset} (data version {data_version[:12]}), {seconds:g} s of training for each run on {threaded}, in "
        f"processor time, so that every setting had the same; mean ± standard deviation over {seeds}. Each row differs from the "
        "base in what it names alone; all else is params.yaml's. Probes are on test, their L2 chosen on validation; PSNR and "
        "LPIPS-like of pictures drawn from z alone, the latter on an encoder that no run trained; use of z: loss with another "
        "picture's z over that with the right one, minus 1; sections' spread: best section minus worst at telling a factor.",
        "",
        _settings(base),
        "",
        "| setting | " + " | ".join(METRICS[metric][0] for metric in shown) + " |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for name, runs in results.items():
        if runs:
            cells = " | ".join(_cell(_values(runs, metric), metric) for metric in shown)
            lines.append(f"| {VARIANTS[name].title} | {cells} |")
    lines += ["", "## Claims", "", "A difference counts when it is more than twice its standard error.", ""]
    lines += ["| claim | measure | difference | here |", "|---|---|---|---|"]
    for claim in CLAIMS:
        verdict = judge(claim, results)
        heading, pattern, factor = METRICS[claim.metric]
        if verdict:
            difference, error, text = verdict
            sign = "+" if difference >= 0 else "−"
            amount = f"{sign}{pattern.format(abs(factor * difference))} ± {pattern.format(factor * error)}"
            lines.append(f"| {claim.text} | {heading} | {amount} | {text} |")
    missing = sorted({claim.metric for claim in CLAIMS if not judge(claim, results)})
    if missing:
        names = "; ".join(METRICS[metric][0] for metric in missing)
        lines += ["", f"Claims about these measures are left out where they were not measured twice on both sides: {names}."]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
