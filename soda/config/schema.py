"""The whole configuration, and its way from and to plain dictionaries."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError, model_validator

from soda.config.schema_data import DatasetConfig, GateConfig
from soda.config.schema_model import ModelConfig
from soda.config.schema_results import EvaluateConfig, ExportConfig
from soda.config.schema_training import DiffusionConfig, TrainConfig
from soda.config.schema_views import ViewsConfig
from soda.config.validated import ConfigError, check, describe, settings


@settings("")
class Config:
    """One group for each folder of conf/ (and experiment/, which chooses among them)."""

    dataset: DatasetConfig
    gate: GateConfig
    views: ViewsConfig
    model: ModelConfig
    diffusion: DiffusionConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    export: ExportConfig

    @model_validator(mode="after")
    def _groups_agree(self) -> Config:
        check(
            self.dataset.image_size % self.model.downscale == 0,
            "dataset.image_size",
            self.dataset.image_size,
            f"a multiple of {self.model.downscale} (model.patch_size x 2 for each further level of model.channel_mult)",
        )
        fine = self.views.pairs.style_sections
        check(
            fine == 0 or (self.model.layer_modulation and not self.model.cameras.rays and fine < self.model.sections),
            "views.pairs.style_sections",
            fine,
            f"less than the model's {self.model.sections} sections, with model.layer_modulation and without cameras",
        )
        pairs = self.views.pairs
        check(
            not self.train.teacher.path
            or (pairs.sources == 1 and not pairs.style_sections and not self.model.cameras.view_attention),
            "train.teacher.path",
            self.train.teacher.path,
            "empty where several views are encoded (views.pairs.sources, style_sections) or attended to (model.cameras)",
        )
        for name in ("source", "target") if self.model.cameras.rays else ():
            view = getattr(self.views, name)
            moved = view.crop_prob > 0 or view.flip_prob > 0 or (view.randaugment_prob > 0 and view.randaugment_ops > 0)
            must_be = "changed by noise at most where model.cameras.rays: a moved picture has other rays"
            check(not moved, f"views.{name}", view, must_be)
        return self


def from_dict(values: dict[str, Any]) -> Config:
    """Build the configuration from nested dictionaries. Raises ConfigError naming the key and value."""
    try:
        return TypeAdapter(Config).validate_python(values)
    except ValidationError as error:
        raise ConfigError(describe(error, Config)) from None


def to_dict(config: Config) -> dict[str, Any]:
    """The plain nested dictionary that `from_dict` takes (tuples as lists, so that YAML and JSON agree)."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

    return cast(dict[str, Any], plain(dataclasses.asdict(config)))  # type: ignore[call-overload]
