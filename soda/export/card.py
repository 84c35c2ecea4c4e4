"""The model card of a shipped model, written from its run; nothing in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soda.config import Config

_PROBES = {"": "**SODA latent, frozen**", "pixels_": "raw pixels", "random_": "untrained encoder"}


def picture_of(config: Config) -> tuple[str, str]:
    """The figure of the evaluation that the card shows, and what it is in words."""
    if config.model.cameras.rays:
        return "turntables.png", "held-out objects turned round, beside the truth"
    return "reconstructions.png", "originals over pictures drawn from their latents alone"


def card(
    name: str,
    config: Config,
    files: Mapping[str, Mapping[str, Any]],
    metrics: Mapping[str, Any],
    *,
    variants: Mapping[str, Mapping[str, Any]],
    images: int,
    command: str,
    date: str,
    credits: str = "",
) -> str:
    """Markdown. files: the metadata of each exported file; metrics: reports/metrics.json of the run; variants: of variants.json;
    images: seen in training; credits: the file that lists authors, where there is one."""
    model, train, facts = config.model, metrics["train"], files["encoder.onnx"]
    licence, source = facts.get("data_licence"), facts.get("data_source")
    parts = [
        f"# {name}: a SODA encoder",
        f"A picture of any size in, {model.latent_dim} numbers out, learned without labels on **{config.dataset.name}**"
        + (f" ({source})" if source else "")
        + (f", licence of the data: {licence}" if licence else "")
        + ".",
        "![{1}]({0})".format(*picture_of(config)),
        "```python\nfrom soda.runtime import Decoder, Encoder  # NumPy, Pillow and onnxruntime; no torch\n\n"
        f'z = Encoder("zoo/{name}/encoder.onnx").embed(["a.jpg", "b.png"])  # (2, {model.latent_dim})\n'
        f'pictures = Decoder("zoo/{name}/denoiser.onnx").sample(z)  # uint8, drawn from z alone\n```',
        "## Figures, on the test split",
        *_probe_table(metrics.get("probe", {})),
        _bullets(_measures(metrics)),
        "## Training",
        _bullets(
            [
                f"finished {date} (UTC), seed {config.train.seed}" + (f": `{command}`" if command else ""),
                f"{images:,} images in {train['seconds'] / 60:.0f} minutes ({train['images_per_second']:.0f} images/s), batch "
                f"{config.train.batch_size}, no labels",
                f"encoder {model.encoder}, {train['encoder_parameters'] / 1e6:.2f} M parameters; denoiser "
                f"{train['denoiser_parameters'] / 1e6:.2f} M, {model.sections} sections",
                f"{config.diffusion.prediction}-prediction, {config.diffusion.schedule} schedule; all settings in config.yaml",
                f"data version {facts.get('data_version', 'unknown')}, code {facts.get('code_version', 'unknown')}",
            ]
        ),
        "## Files",
        _bullets(_file_lines(metrics["export"], files, variants)),
        "## Limits",
        f"It saw pictures of {config.dataset.image_size} px"
        + (", grey" if config.dataset.channels == 1 else "")
        + f" of {config.dataset.name} and nothing else: others get a vector too, but what it tells is untested. One seed, so the "
        "figures have no spread over seeds. Reconstructions are drawn from the latent and a seed, and differ in detail from "
        "their originals.",
        "Licence of the model: MIT, as the software"
        + ("; of what it learned from, see above" if licence else "")
        + (f" and, with the authors of all that is shown, [{credits}]({credits})." if credits else "."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _file_lines(
    export: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], variants: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    lines = [f"encoder.onnx: {export['bytes'] / 1e6:.2f} MB, within {export['max_abs_diff']:.1e} standard deviations of torch"]
    for name, about in sorted(variants.items(), reverse=True):
        if about["written"]:
            lost = f", the probe on validation {-100 * about['probe_val_drop']:+.2f} points" if "probe_val_drop" in about else ""
            lines.append(
                f"{name}: {about['bytes'] / 1e6:.2f} MB ({about['bytes'] / export['bytes']:.0%}), cosine with torch "
                f"{about['mean_cosine']:.5f} (least {about['min_cosine']:.5f}){lost}"
            )
        elif not about["reason"].startswith("export."):  # nobody asked for it
            lines.append(f"no {name}: {about['reason']}")
    directions = len(files["denoiser.onnx"]["directions"])
    lines.append(
        f"denoiser.onnx: {export['denoiser_bytes'] / 1e6:.2f} MB, with the sampler's table"
        + (f" and {directions} directions" if directions else "")
        + f"; what it draws is within {export['decoder_max_abs_diff']:.1e} of torch, pixels being -1 to 1"
    )
    lines.append("model.safetensors and config.yaml: encoder and denoiser for torch")
    return lines


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _probe_table(probe: Mapping[str, Any]) -> list[str]:
    """One table, or a sentence that there is none."""
    rows = [
        f"| {title} | {probe[prefix + 'linear_top1']:.3f} | {probe[prefix + 'knn_top1']:.3f} |"
        for prefix, title in _PROBES.items()
        if prefix + "linear_top1" in probe
    ]
    if not rows:
        return ["The data has no labels, so nothing was probed."]
    if "supervised_top1" in probe:
        rows.append(f"| the same encoder, trained with the labels | {probe['supervised_top1']:.3f} | |")
    return ["\n".join(["| top-1 | linear probe | nearest neighbours |", "|---|---|---|", *rows])]


def _measures(metrics: Mapping[str, Any]) -> list[str]:
    drawn, latent = metrics["reconstruction"], metrics["latent"]
    lines = [
        f"reconstruction from z alone, {drawn['sampling_steps']} steps: PSNR {drawn['psnr']:.2f} dB (mean picture "
        f"{drawn['psnr_mean_picture']:.2f}), SSIM {drawn['ssim']:.3f}, {drawn['pictures']:,} pictures"
    ]
    if "psnr@1" in (novel := metrics.get("novel_view", {})):
        lines = [*_novel_views(novel), f"{lines[0]}; drawn without a camera, so any view may come"]
    if "usage_gap" in latent:
        lines.append(f"use of the latent: the loss grows {latent['usage_gap']:.1f}-fold on top when z is another picture's")
    lines.append(f"effective dimensions of z: {latent['effective_dim']:.0f}")
    return lines


def _novel_views(novel: Mapping[str, Any]) -> list[str]:
    known = ", ".join(
        f"{novel[f'psnr@{count}']:.2f} dB from {words}" for count, words in ((1, "one picture"), (2, "two"), (4, "four"))
    )
    bases = ", ".join(f"{name.replace('_', ' ')} {base['psnr']:.2f}" for name, base in novel["baselines"].items())
    return [
        f"novel views of {novel['objects']} unseen objects, PSNR of the expected view: {known}",
        f"beside it: {bases}; for a wrong camera {novel['wrong_pose_psnr@1']:.2f}, from another object "
        f"{novel['shuffled_psnr@1']:.2f}",
    ]
