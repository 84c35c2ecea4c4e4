"""Measures beside their baselines, ready for the page: the probes as bars, the reconstruction as a table, the key figures."""

from __future__ import annotations

import re
from dataclasses import dataclass

from soda.report.format import percent
from soda.report.parts import Parts

PROBE = re.compile(r"^(?:(?P<on>[a-z0-9_]+?)_)?(?P<how>linear|knn)_top1$")
HOW = {"linear": "linear probe", "knn": "nearest neighbours"}
ON = {"": "SODA latent", "pixels": "Raw pixels", "random": "Untrained encoder"}

# Measure: how it is called, whether more is better, format.
MEASURES: dict[str, tuple[str, bool, str]] = {
    "psnr": ("PSNR, dB", True, "{:.2f}"),
    "ssim": ("SSIM", True, "{:.3f}"),
    "lpips_like": ("LPIPS-like distance", False, "{:.3f}"),
    "fid_like": ("FID-like distance", False, "{:.2f}"),
}
# Other pictures in the reconstructions' place: heading, what the key adds to the measure's.
BASELINES: dict[str, str] = {
    "Another picture’s latent": "shuffled_z",
    "The mean picture": "mean_picture",
    "Real training pictures": "train",
}


@dataclass(frozen=True)
class Bar:
    """One accuracy, 0 to 1. `ours`: of the SODA latent, not of a baseline."""

    name: str
    how: str
    value: float
    ours: bool


@dataclass(frozen=True)
class MeasureRow:
    name: str
    better: str  # higher | lower
    ours: str
    baselines: list[str]  # "–" where it was not measured


@dataclass(frozen=True)
class KeyFigure:
    value: str
    name: str
    beside: list[str]  # the baselines, in words


def probe_bars(parts: Parts, commonest: float | None) -> list[Bar]:
    """The probes on test, the latent's first, chance last; empty when there were no labels.

    commonest: accuracy of always naming the commonest label.
    """
    probe = parts.metrics.get("probe")
    if not isinstance(probe, dict):
        return []
    bars, chance = [], commonest
    for key in probe:
        value = parts.number(f"probe.{key}")
        found = PROBE.match(key)
        if value is None:
            continue
        if key == "majority_top1":
            chance = value
        elif key == "supervised_top1":
            bars.append((3, 0, Bar("Supervised network", "same encoder, trained with labels", value, False)))
        elif found:
            on = found["on"] or ""
            rank = list(ON).index(on) if on in ON else 2
            name = ON.get(on, on.replace("_", " ").capitalize())
            bars.append((rank, found["how"] == "knn", Bar(name, HOW[found["how"]], value, not on)))
    if not bars:
        return []
    if chance is not None:
        bars.append((4, 0, Bar("Chance", "always the commonest label", chance, False)))
    return [bar for _, _, bar in sorted(bars, key=lambda item: item[:2])]


def _variant(parts: Parts, measure: str, baseline: str) -> float | None:
    return parts.number(f"reconstruction.{measure}_{BASELINES[baseline]}")


def reconstruction_table(parts: Parts) -> tuple[list[str], list[MeasureRow]]:
    """(headings of the baselines, rows): only measures that were taken, only baselines that some measure has."""
    taken = {name: parts.number(f"reconstruction.{name}") for name in MEASURES}
    found = {title: {name: _variant(parts, name, title) for name in taken} for title in BASELINES}
    titles = [title for title, values in found.items() if any(v is not None for v in values.values())]
    rows = []
    for name, value in taken.items():
        title, more, pattern = MEASURES[name]
        if value is not None:
            others = [found[heading][name] for heading in titles]
            texts = ["–" if other is None else pattern.format(other) for other in others]
            rows.append(MeasureRow(title, "higher" if more else "lower", pattern.format(value), texts))
    return titles, rows


def key_figures(parts: Parts, bars: list[Bar]) -> list[KeyFigure]:
    """What a reader wants first: accuracy, reconstruction, use of the latent, each beside its baselines."""
    figures = []
    by_key = {(bar.name, bar.how): bar.value for bar in bars}
    linear = by_key.get((ON[""], HOW["linear"]))
    if linear is not None:
        beside = [
            (word, by_key.get((ON[on], HOW["linear"]))) for word, on in (("pixels", "pixels"), ("untrained encoder", "random"))
        ]
        text = [f"{word} {percent(value)}" for word, value in beside if value is not None]
        figures.append(KeyFigure(percent(linear), "linear probe on the frozen latent", text))
    novel = parts.number("novel_view.psnr@1")
    if novel is not None:
        keys = {
            "from two": "psnr@2",
            "a copy of the source": "baselines.copy.psnr",
            "mean training view": "baselines.mean_view.psnr",
        }
        found = {words: parts.number(f"novel_view.{key}") for words, key in keys.items()}
        text = [f"{words} {value:.1f} dB" for words, value in found.items() if value is not None]
        figures.append(KeyFigure(f"{novel:.1f} dB", "PSNR of novel views of unseen objects, from one picture", text))
    psnr = parts.number("reconstruction.psnr") if novel is None else None  # without a camera any view may be drawn
    if psnr is not None:
        mean = _variant(parts, "psnr", "The mean picture")
        shuffled = _variant(parts, "psnr", "Another picture’s latent")
        pairs = (("another’s latent", shuffled), ("mean picture", mean))
        text = [f"{word} {value:.1f} dB" for word, value in pairs if value is not None]
        figures.append(KeyFigure(f"{psnr:.1f} dB", "PSNR of reconstructions from the latent alone", text))
    gap = parts.number("latent.usage_gap")
    if gap is not None:
        figures.append(
            KeyFigure(
                f"+{percent(gap)}" if gap >= 0 else percent(gap), "loss with another picture’s latent", ["unused would be 0%"]
            )
        )
    return figures
