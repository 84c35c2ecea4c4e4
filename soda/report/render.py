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

from soda.config import Config, TrainConfig, to_dict
from soda.evaluation.registry import flatten, measures, number
from soda.report import format as fmt
from soda.report.data import DataFacts
from soda.report.encoder_facts import EncoderFacts
from soda.report.figures import EmbeddedImage, read_images
from soda.report.parts import Parts
from soda.report.presentation import ARROWS, every_figure, key_figures, text_tables
from soda.report.training_curves import read_curves

TEMPLATES = Path(__file__).parent / "templates"
TITLES = {"fashion_mnist": "Fashion-MNIST", "folder": "A folder of images"}
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
    return [
        (group, [(key, fmt.plain(value)) for key, value in flatten(values).items()]) for group, values in to_dict(config).items()
    ]


def _lead(settings: TrainConfig) -> str:
    """What was learnt here, by whom, and what was brought along."""
    if settings.init and not settings.encoder_learns:
        return (
            f"The encoder of {settings.init} keeps something of each image, and a diffusion model learned to draw the image "
            "again from that alone. The encoder itself learned nothing from these images."
        )
    brought = [f"began with the weights of {settings.init}"] if settings.init else []
    brought += [f"had {Path(settings.teacher.path).name} as a teacher"] if settings.teacher.path else []
    who = f"An encoder that {' and '.join(brought)}" if brought else "An encoder"
    labels = "a single label of these images" if brought else "a single label"
    return f"{who} learned, without {labels}, to keep of each image what a diffusion model needs to draw it again."


def render(
    config: Config,
    parts: Parts,
    data: DataFacts | None,
    verdict: dict[str, Any] | None,
    encoder: EncoderFacts | None,
    live: Path,
    figures: Path,
    objects: EmbeddedImage | None = None,
) -> str:
    """The page as HTML. Reads the curves below `live` and the images in `figures`; raises ReportError when one is broken.

    objects: the contact sheet of data with cameras.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "size": fmt.size, "shorten": fmt.shorten}
    script = _asset("page.js").strip()
    latent_dim = encoder.latent_dim if encoder else config.model.latent_dim
    name = data.name if data else config.dataset.name
    images, charts = read_images(figures, latent_dim)
    shown = [(each, text_tables(each, parts.metrics), every_figure(each, parts.metrics)) for each in measures()]
    return environment.get_template("page.html.j2").render(
        policy=_policy(script),
        style=_asset("page.css"),
        script=script,
        title=TITLES.get(name, name.replace("_", " ")),
        lead=_lead(config.train),
        latent_dim=latent_dim,
        parts=parts,
        arrows=ARROWS,
        data=data,
        objects=objects,
        verdict=verdict,
        encoder=encoder,
        images=images,
        charts=charts,
        measures=shown,
        unmeasured=[each.title for each, _, figures in shown if each.quantities and not figures and each.key not in parts.notes],
        key_figures=key_figures(parts.metrics),
        curves=read_curves(live),
        versions=_versions(config, data, encoder),
        settings=_settings(config),
    )
