"""The evaluation stage: how good the frozen EMA encoder and its denoiser are, beside what they must be compared with.

Choices (L2, k, the untrained encoder's BatchNorm) are made on validation and reported on test. No picture is augmented.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from soda.common.errors import SodaError
from soda.common.files import whole_folder, write_json
from soda.common.images import to_float
from soda.config import Config, EvaluateConfig
from soda.data.dataset import PreparedData
from soda.evaluation.comparison import SPLITS, Comparison, Protocol, compare
from soda.evaluation.factors import read_factors
from soda.evaluation.gallery_run import run_gallery
from soda.evaluation.gallery_scene import Subject
from soda.evaluation.kept import Keeping
from soda.evaluation.knn import neighbours
from soda.evaluation.latents import Sample, draw_sample, effective_dim, frozen, latent_use, shuffled
from soda.evaluation.metrics import FixedNetwork
from soda.evaluation.probe import Features, standardise
from soda.evaluation.reconstruct import Judge, reconstruct
from soda.inference.directions import save_directions
from soda.model.network import SodaNetwork
from soda.training.checkpoint import load_model
from soda.training.distributed import choose_device
from soda.viz.charts import MAX_MAP, can_be_coloured, confusion, latent_map, picture_map, plane, probe_bars
from soda.viz.grids import neighbour_rows, reconstruction_grid, spread_picks

log = logging.getLogger(__name__)

MAX_PICTURES = 60_000  # of a split: memory stays flat as the data grows
MAX_BYTES = 400_000_000  # of pictures that are held at once
USE_PICTURES = 512
BASELINE_PICTURES = 250  # on which a wrong z and the mean picture are judged, for comparison
GRID, GRID_SAMPLES, QUERIES, NEIGHBOURS = 24, 3, 12, 8

Metrics = dict[str, Any]


class EvaluationError(SodaError, ValueError):
    """The model and the data do not fit together, or there is nothing to evaluate on; the message names what and where."""


def evaluate(
    config: EvaluateConfig, model_dir: Path, prepared: Path, metrics: Path, figures: Path, directions: Path, runs: Path
) -> Metrics:
    """Evaluate the model in `model_dir` on the prepared data; write `metrics` (JSON), the PNGs in `figures` and the `directions`
    that were found without labels, all or none. Baselines that take long to train go on from where they were in `runs`.

    Returns what the JSON holds: groups `probe` (no numbers without labels), `reconstruction`, `latent` and those of
    `measure_gallery`, each with `notes`: how it was measured, in sentences. Raises CheckpointError, DatasetError or
    EvaluationError for inputs that are broken or do not fit, and FrozenError when the weights changed on the way.
    """
    torch.set_flush_denormal(True)  # an untrained encoder's activations fade into denormals, six times as slow
    data = PreparedData(prepared)
    model, trained = load_model(model_dir)
    device = choose_device("cpu" if trained.train.device == "cpu" else "auto")
    model = model.to(device)
    _require_fit(trained, model_dir, data, prepared)
    if trained.train.threads:
        torch.set_num_threads(trained.train.threads)
    samples = {name: draw_sample(data.split(name), MAX_PICTURES, config.seed) for name in SPLITS}
    protocol = Protocol(config, samples, len(data.label_names), device, Keeping(runs, data.version))
    factors = read_factors(data, samples)
    with whole_folder(figures) as folder:
        result, subject = _evaluate(model, trained, protocol, data.label_names, folder)
        with _timed("gallery"), frozen(model):
            groups, found = run_gallery(model_dir, subject, factors, config, folder)
        result = _merge(result, groups)
        save_directions(directions, found)
        write_json(metrics, result)
    return result


def _merge(result: Metrics, groups: Metrics) -> Metrics:
    """Both, and of a group that both have all figures and all notes."""
    merged = dict(result)
    for name, group in groups.items():
        before = result.get(name, {"notes": []})
        merged[name] = {**before, **group, "notes": [*before["notes"], *group["notes"]]}
    return merged


def _evaluate(model: SodaNetwork, trained: Config, protocol: Protocol, names: list[str], folder: Path) -> tuple[Metrics, Subject]:
    """Measure what every data set allows, draw the figures into `folder`, and see that the weights stayed as they were."""
    config, samples = protocol.config, protocol.samples
    with frozen(model) as digest:
        with _timed("latents"):
            latents = protocol.embed(model.encoder)
        with _timed("probes and baselines"):
            comparison = compare(latents, trained, protocol)
        with _timed("use of the latent"):
            use = _use(model, latents, samples["test"], config, protocol.device)
        with _timed("reconstructions"):
            reconstruction = _reconstruction(model, latents, comparison, protocol, folder)
        with _timed("figures"):
            _neighbours(latents, samples, config, folder)
            _map(latents["test"], samples["test"], names, config, folder)
            _charts(comparison, names, folder)
    use["notes"].append(f"The weights are the same after the evaluation as before: sha256 {digest}.")
    result = {"probe": {**comparison.metrics, "notes": comparison.notes}, "reconstruction": reconstruction, "latent": use}
    subject = Subject(
        model=model,
        trained=trained,
        latents=latents,
        samples=samples,
        network=comparison.network,
        network_name=comparison.network_name,
        untrained=comparison.untrained,
        device=protocol.device,
        keeping=protocol.keeping,
    )
    return result, subject


@contextmanager
def _timed(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    log.info("evaluate: %s took %.0f s", what, time.perf_counter() - started)


def _require_fit(trained: Config, model_dir: Path, data: PreparedData, prepared: Path) -> None:
    for key, there in (("image_size", data.image_size), ("channels", data.channels)):
        wanted = getattr(trained.dataset, key)
        if wanted != there:
            raise EvaluationError(
                f"{model_dir} was trained with dataset.{key} = {wanted}, but {prepared} holds pictures of {there}"
            )
    for name in ("train", "test"):
        if not len(data.split(name)):
            raise EvaluationError(f"{prepared}: the {name} split is empty; an evaluation wants pictures in it")


def _draw(sample: Sample, limit: int, seed: int) -> np.ndarray:
    """At most `limit` positions in the sample, in random order, and no more than MAX_BYTES of pictures: (n,) int64."""
    size = sample.split.gather(sample.indices[:1]).nbytes
    return np.random.default_rng(seed).permutation(len(sample))[: max(1, min(limit, MAX_BYTES // size))]


def _use(model: SodaNetwork, latents: dict[str, Features], test: Sample, config: EvaluateConfig, device: torch.device) -> Metrics:
    found: Metrics = {}
    notes = ["effective_dim: participation ratio of the covariance of z over the test split."]
    chosen = _draw(test, USE_PICTURES, config.seed)
    if len(chosen) > 1:
        images = to_float(test.gather(chosen)).to(device)
        use = latent_use(model, images, seed=config.seed, batch_size=config.batch_size)
        found = {"usage_gap": use.gap, "loss": use.loss, "loss_shuffled": use.loss_shuffled}
        notes.append(
            f"usage_gap: denoising loss with another picture's z over that with the right z, minus 1, on {len(chosen)} test "
            "pictures, the same noise for both, averaged over evenly spread timesteps."
        )
    else:
        notes.append("usage_gap was not measured: it takes two test pictures.")
    return {**found, "effective_dim": effective_dim(latents["test"].x), "notes": notes}


def _reconstruction(
    model: SodaNetwork, latents: dict[str, Features], comparison: Comparison, protocol: Protocol, folder: Path
) -> Metrics:
    """Draw test pictures from z alone, judge them and show some."""
    config, size, test = protocol.config, protocol.config.batch_size, protocol.samples["test"]
    chosen = _draw(test, max(config.reconstructions, config.fid_images), config.seed)
    originals, z = test.gather(chosen), latents["test"].x[chosen]
    drawn = reconstruct(model, z, seed=config.seed, batch_size=size)
    judge = Judge(FixedNetwork(comparison.network), device=protocol.device, batch_size=size)
    count, fid_count, few = (min(n, len(chosen)) for n in (config.reconstructions, config.fid_images, BASELINE_PICTURES))
    near = judge.nearness(drawn[:count], originals[:count])
    train = protocol.samples["train"]
    real = train.gather(_draw(train, fid_count, config.seed))
    found: Metrics = {
        "psnr": float(near.psnr.mean()),
        "psnr_std": float(near.psnr.std()),
        "ssim": float(near.ssim.mean()),
        "lpips_like": float(near.lpips_like.mean()),
        "fid_like": judge.fid_like(drawn[:fid_count], originals[:fid_count]),
        "fid_like_train": judge.fid_like(real, originals[:fid_count]),
        "pictures": count,
        "sampling_steps": model.diffusion.sampling_steps,
    }
    others = {"mean_picture": np.repeat(real.mean(0, keepdims=True).round().astype(np.uint8), few, axis=0)}
    if few > 1:
        others["shuffled_z"] = reconstruct(model, z[:few][shuffled(few, config.seed)], seed=config.seed, batch_size=size)
    for name, pictures in others.items():
        base = judge.nearness(pictures, originals[:few])
        for measure in ("psnr", "ssim", "lpips_like"):
            found[f"{measure}_{name}"] = float(getattr(base, measure).mean())
    picks = spread_picks(test.labels[chosen], GRID, config.seed)
    more = [reconstruct(model, z[picks], seed=config.seed, sample=k, batch_size=size) for k in range(1, GRID_SAMPLES)]
    reconstruction_grid(originals[picks], [drawn[picks], *more], folder / "reconstructions.png")
    return {**found, "notes": _explain(model, comparison.network_name, count, fid_count, few)}


def _explain(model: SodaNetwork, network: str, count: int, fid_count: int, few: int) -> list[str]:
    settings = model.diffusion
    return [
        f"Reconstructions of {count:,} test pictures from z and seeded noise alone (no inversion): {settings.sampler}, "
        f"{settings.sampling_steps} steps, guidance {settings.guidance_scale:g}. psnr is the mean over pictures, psnr_std their "
        "spread.",
        f"lpips_like and fid_like use the formulas of LPIPS and FID on {network}, not on a network trained on ImageNet: they "
        "compare runs of the same settings, never with published figures. lpips_like weighs all channels alike. fid_like is "
        f"between {fid_count:,} reconstructions and their originals; fid_like_train, for scale, between as many training "
        "pictures and these originals.",
        f"Baselines, on {few:,} pictures: shuffled_z is drawn from another picture's z, mean_picture is the mean of training.",
    ]


def _neighbours(latents: dict[str, Features], samples: dict[str, Sample], config: EvaluateConfig, folder: Path) -> None:
    train, test = samples["train"], samples["test"]
    bank, queries = standardise(latents["train"].x, latents["test"].x)
    picks = spread_picks(test.labels, QUERIES, config.seed)
    found = neighbours(queries[picks], bank, NEIGHBOURS)[0].numpy()  # (n, k)
    pictures = train.gather(found.ravel())
    mine, theirs = test.labels[picks][:, None], train.labels[found]
    wrong = (mine >= 0) & (theirs >= 0) & (mine != theirs) if (mine >= 0).any() else None
    neighbour_rows(test.gather(picks), pictures.reshape(*found.shape, *pictures.shape[1:]), wrong, folder / "neighbours.png")


def _map(z: Features, test: Sample, names: list[str], config: EvaluateConfig, folder: Path) -> None:
    chosen = _draw(test, MAX_MAP, config.seed)
    points, pictures, labels = plane(z.x[chosen].numpy(), config.seed), test.gather(chosen), test.labels[chosen]
    if can_be_coloured(labels):
        latent_map(points, labels, names, folder / "latent_map.png")
        picture_map(points, pictures, folder / "latent_map_pictures.png")
    else:
        picture_map(points, pictures, folder / "latent_map.png")


def _charts(comparison: Comparison, names: list[str], folder: Path) -> None:
    if comparison.probe is not None:
        confusion(comparison.probe.targets.numpy(), comparison.probe.predictions.numpy(), names, folder / "confusion.png")
        probe_bars(comparison.bars, comparison.metrics["majority_top1"], folder / "probe.png")
