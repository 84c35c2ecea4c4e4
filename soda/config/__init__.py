"""The configuration: Hydra groups in conf/ compose into params.yaml, and every stage reads that one file.

`compose` (Hydra) makes what `write_params` writes; `load` reads it as frozen settings that validate their values. What changes
one is `dataclasses.replace`, and it validates too. Nothing of Hydra goes any further, and nothing here loads torch.
"""

from soda.config.compose import CONF_DIR, advice, compose
from soda.config.migrate import migrate
from soda.config.params_file import PARAMS_FILE, load, write_params
from soda.config.schema import Config, from_dict, to_dict
from soda.config.schema_data import DatasetConfig, GateConfig
from soda.config.schema_model import LITE, CamerasConfig, ModelConfig
from soda.config.schema_results import EvaluateConfig, ExportConfig
from soda.config.schema_training import DiffusionConfig, TeacherConfig, TrainConfig
from soda.config.schema_views import AugmentConfig, PairsConfig, ViewsConfig
from soda.config.validated import ConfigError

__all__ = [
    "CONF_DIR",
    "LITE",
    "PARAMS_FILE",
    "AugmentConfig",
    "CamerasConfig",
    "Config",
    "ConfigError",
    "DatasetConfig",
    "DiffusionConfig",
    "EvaluateConfig",
    "ExportConfig",
    "GateConfig",
    "ModelConfig",
    "PairsConfig",
    "TeacherConfig",
    "TrainConfig",
    "ViewsConfig",
    "advice",
    "compose",
    "from_dict",
    "load",
    "migrate",
    "to_dict",
    "write_params",
]
