"""The evaluation stage: how good the frozen EMA encoder and its denoiser are, beside what they must be compared with.

Choices (L2, k, the untrained encoder's BatchNorm) are made on validation and reported on test. No image is augmented.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from soda.common.errors import SodaError
from soda.common.files import whole_folder, write_json
from soda.config import Config, EvaluateConfig
from soda.data.dataset import PreparedData
from soda.evaluation.context import EvaluationContext, timed
from soda.evaluation.frozen import frozen
from soda.evaluation.registry import measures, require_declared
from soda.evaluation.scene import require_known
from soda.evaluation.weights import require_weights
from soda.inference.directions import save_directions
from soda.training.checkpoint import load_model
from soda.training.distributed import choose_device
from soda.training.fit import Keeping


class EvaluationError(SodaError, ValueError):
    """The model and the data do not fit together, or there is nothing to evaluate on; the message names what and where."""


def evaluate(
    config: EvaluateConfig, model_dir: Path, prepared: Path, metrics: Path, figures: Path, directions: Path, runs: Path
) -> dict[str, Any]:
    """Evaluate the model in `model_dir` on the prepared data; write `metrics` (JSON), the PNGs in `figures` and the `directions`
    that were found without labels, all or none. Baselines that take long to train go on from where they were in `runs`.

    Returns what the JSON holds: a group of each measure that applies, each with `notes`: how it was measured, in sentences.
    Raises CheckpointError, DatasetError or EvaluationError for inputs that are broken or do not fit, ValueError for settings that
    name a factor which the data do not have, and FrozenError when the weights changed on the way.
    """
    torch.set_flush_denormal(True)  # an untrained encoder's activations fade into denormals, six times as slow
    require_weights(config)
    data = PreparedData(prepared)
    model, trained = load_model(model_dir)
    model = model.to(choose_device("cpu" if trained.train.device == "cpu" else "auto"))
    _require_fit(trained, model_dir, data, prepared)
    if trained.train.threads:
        torch.set_num_threads(trained.train.threads)
    with whole_folder(figures) as folder:
        with frozen(model) as weights:
            keeping = Keeping(runs, data.version)
            context = EvaluationContext(model, trained, data, config, folder, model_dir, keeping=keeping, weights=weights)
            result, found = measure(context), context.directions
        save_directions(directions, found)
        write_json(metrics, result)
    return result


def measure(context: EvaluationContext) -> dict[str, Any]:
    """The groups of all measures that apply, by key, in the order of the register.

    Raises ValueError for settings that name unknown factors, UndeclaredError for a figure that a measure does not declare.
    """
    require_known(context.factors, context.config)
    result: dict[str, Any] = {}
    for each in measures():
        if each.compute is not None:
            with timed(each.title.lower()):
                group = each.compute(context)
            if group:
                result[each.key] = group
    require_declared(result)
    return result


def _require_fit(trained: Config, model_dir: Path, data: PreparedData, prepared: Path) -> None:
    for key, there in (("image_size", data.image_size), ("channels", data.channels)):
        taken = getattr(trained.dataset, key)
        if taken != there:
            raise EvaluationError(
                f"{model_dir} was trained with dataset.{key} = {taken}, but {prepared} holds pictures of {there}"
            )
    for name in ("train", "test"):
        if not len(data.split(name)):
            raise EvaluationError(f"{prepared}: the {name} split is empty; an evaluation takes images in it")
