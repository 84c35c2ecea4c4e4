"""One HTML file (templates/page.html.j2) from everything that the page shows; the template escapes all text."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from soda.config import Config, to_dict
from soda.report import format as fmt
from soda.report.curves import read_curves
from soda.report.data import DataFacts, Verdict
from soda.report.encoder import EncoderFacts
from soda.report.figures import Figure, read_figures
from soda.report.gallery import gallery_tables
from soda.report.measures import key_figures, probe_bars, reconstruction_table
from soda.report.parts import Parts, flatten

TEMPLATES = Path(__file__).parent / "templates"
TITLES = {"fashion_mnist": "Fashion-MNIST", "folder": "A folder of pictures"}
LIBRARIES = ("torch", "onnxruntime", "numpy", "pyarrow", "great_expectations", "dvc")
Rows = list[tuple[str, str]]


def _asset(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _policy(script: str) -> str:
    """Content-Security-Policy: nothing from outside, and no script but the page's own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = f"img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"


def _installed() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    for name in LIBRARIES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def _versions(config: Config, data: DataFacts | None, encoder: EncoderFacts | None) -> Rows:
    rows = [("Data version", data.version)] if data else []
    rows.append(("Seeds", f"data {config.dataset.seed}, training {config.train.seed}, evaluation {config.evaluate.seed}"))
    if encoder:
        rows += [
            ("Code that made the encoder", encoder.code_version),
            ("Data that it was trained on", encoder.data_version),
            ("SHA-256 of the encoder", encoder.sha256),
        ]
    rows.append(("Installed where this page was made", ", ".join(_installed())))
    return rows


def _settings(config: Config) -> list[tuple[str, Rows]]:
    """(group, [(key, value)]), nested groups as dotted keys."""

    def rows(values: dict[str, Any], prefix: str = "") -> Rows:
        result: Rows = []
        for key, value in values.items():
            result += rows(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", fmt.plain(value))]
        return result

    return [(group, rows(values)) for group, values in to_dict(config).items()]


def render(
    config: Config,
    parts: Parts,
    data: DataFacts | None,
    verdict: Verdict | None,
    encoder: EncoderFacts | None,
    live: Path,
    figures: Path,
    objects: Figure | None = None,
) -> str:
    """The page as HTML. Reads the curves below `live` and the PNGs in `figures`; raises ReportError when one is broken.

    objects: the contact sheet of data with cameras.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("number", "percent", "size", "duration", "shorten"):
        environment.filters[name] = getattr(fmt, name)
    script = _asset("page.js").strip()
    latent_dim = encoder.latent_dim if encoder else config.model.latent_dim
    name = data.name if data else config.dataset.name
    bars = probe_bars(parts, data.commonest_in_test if data else None)
    measure_baselines, measures = reconstruction_table(parts)
    pictures, charts = read_figures(figures, latent_dim)
    return environment.get_template("page.html.j2").render(
        policy=_policy(script),
        style=_asset("page.css"),
        script=script,
        title=TITLES.get(name, name.replace("_", " ")),
        latent_dim=latent_dim,
        config=config,
        parts=parts,
        data=data,
        objects=objects,
        verdict=verdict,
        encoder=encoder,
        pictures=pictures,
        charts=charts,
        key_figures=key_figures(parts, bars),
        bars=bars,
        measure_baselines=measure_baselines,
        measures=measures,
        tables=gallery_tables(parts),
        curves=read_curves(live),
        versions=_versions(config, data, encoder),
        settings=_settings(config),
        all_metrics=[(key, fmt.plain(value)) for key, value in flatten(parts.metrics)],
    )
