"""The model card of a shipped model, written from its run; nothing in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soda.config import LITE, Config, TrainConfig
from soda.evaluation.registry import Figure, Measure, measures
from soda.report.presentation import Metrics, text_tables


@dataclass(frozen=True)
class Shipped:
    """What the card tells of. image, made_by and credits only where there is one."""

    name: str
    config: Config
    metrics: Metrics
    files: Mapping[str, Mapping[str, Any]]  # the metadata of each exported file
    variants: Mapping[str, Mapping[str, Any]]  # of variants.json
    date: str  # on which the training ended, UTC
    image: Figure | None = None
    made_by: str = ""  # the command
    credits: str = ""  # the file that lists authors
    folder: str = "zoo/{name}"  # where the files lie, for the card's lines of code


def card(shipped: Shipped) -> str:
    """The card as Markdown."""
    name, config, facts = shipped.name, shipped.config, shipped.files["encoder.onnx"]
    folder = shipped.folder.format(name=name)
    licence, source, latent_dim = facts.get("data_licence"), facts.get("data_source"), config.model.latent_dim
    parts = [
        f"# {name}: a SODA encoder",
        f"An image of any size in, {latent_dim} numbers out, learned without labels on **{config.dataset.name}**"
        + (f" ({source})" if source else "")
        + (f", licence of the data: {licence}" if licence else "")
        + ".",
        f"![{shipped.image.title}]({shipped.image.name}.png)" if shipped.image else "",
        "```python\nfrom soda.runtime import Decoder, Encoder  # NumPy, Pillow and onnxruntime; no torch\n\n"
        f'z = Encoder("{folder}/encoder.onnx").embed(["a.jpg", "b.png"])  # (2, {latent_dim})\n'
        f'images = Decoder("{folder}/denoiser.onnx").sample(z)  # uint8, drawn from z alone\n```',
        "## Figures, on the test split",
        *_figures([measure for measure in measures() if measure.compute], shipped.metrics),
        "## Training and files",
        _bullets(
            [
                f"finished {shipped.date} (UTC), seed {config.train.seed}"
                + (f": `{shipped.made_by}`" if shipped.made_by else ""),
                f"batch {config.train.batch_size}, no labels; encoder {config.model.encoder}, {config.model.sections} sections; "
                f"{config.diffusion.prediction}-prediction, {config.diffusion.schedule} schedule; all settings in config.yaml",
                *_begun_with(config.train),
                f"data version {facts.get('data_version', 'unknown')}, code {facts.get('code_version', 'unknown')}",
            ]
        ),
        *_figures([measure for measure in measures() if not measure.compute], shipped.metrics),
        _bullets(_files(shipped)),
        "## Limits",
        f"It saw images of {config.dataset.image_size} px"
        + (", grey" if config.dataset.channels == 1 else "")
        + f" of {config.dataset.name} and nothing else"
        + (", but for what came from elsewhere" if _begun_with(config.train) else "")
        + ": others get a vector too, but what it tells is untested. One seed, so the "
        "figures have no spread over seeds. Reconstructions are drawn from the latent and a seed, and differ in detail from "
        "their originals.",
        "Licence of the model: MIT, as the software"
        + ("; of what it learned from, see above" if licence else "")
        + (f" and, with the authors of all that is shown, [{shipped.credits}]({shipped.credits})." if shipped.credits else "."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _begun_with(settings: TrainConfig) -> list[str]:
    """Where weights and lessons came from that are not of this training."""
    named = {LITE: "EfficientNet-Lite0, which learned ImageNet's photographs with their labels (Google, Apache-2.0)"}
    lines = []
    if settings.init:
        lines.append(f"its weights began as those of {named.get(settings.init, settings.init + ', whose card says more')}")
        if not settings.encoder_learns:
            lines.append("its encoder still is that one: the denoiser alone learnt from these pictures")
    if settings.teacher.path:
        lines.append(f"its teacher was {named.get(settings.teacher.path, Path(settings.teacher.path).name)}")
    return lines


def _figures(chosen: list[Measure], metrics: Metrics) -> list[str]:
    """The first table of each measure that has a headline, then the sentences of all."""
    with_headline = [measure for measure in chosen if any(quantity.headline for quantity in measure.quantities)]
    tables = [table.markdown() for measure in with_headline for table in text_tables(measure, metrics)[:1]]
    return [*tables, _bullets([sentence for measure in chosen for sentence in measure.sentences(metrics)])]


def _files(shipped: Shipped) -> list[str]:
    lines = []
    for name, facts in sorted(shipped.variants.items(), reverse=True):
        if facts["written"]:
            lost = f", the probe on validation {-100 * facts['probe_val_drop']:+.2f} points" if "probe_val_drop" in facts else ""
            lines.append(
                f"{name}: {facts['bytes']:,} bytes, cosine with torch {facts['mean_cosine']:.5f} (least "
                f"{facts['min_cosine']:.5f}){lost}"
            )
        elif not facts["reason"].startswith("export."):  # nobody asked for it
            lines.append(f"no {name}: {facts['reason']}")
    directions = len(shipped.files["denoiser.onnx"]["directions"])
    lines.append("denoiser.onnx holds the sampler's table" + (f" and {directions} directions" if directions else ""))
    return [*lines, "model.safetensors and config.yaml: encoder and denoiser for torch"]


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
