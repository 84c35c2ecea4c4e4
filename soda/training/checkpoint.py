"""A run's resume state (runs/<key>/checkpoint.pt, and the one before it) and the finished model that others read (models/soda/).

Both carry checksums: what is read is what was written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from soda.common.errors import SodaError
from soda.common.files import whole_file, whole_folder
from soda.common.fingerprint import code_fingerprint
from soda.common.tensors import tensors_sha256
from soda.config import Config, ConfigError, from_dict, migrate, to_dict
from soda.model.network import SodaNetwork, build_model

log = logging.getLogger(__name__)

FORMAT = 2
_NOT_PART_OF_A_RUN = ("device", "processes", "threads", "tune", "shards", "log_every_images", "checkpoint_every_images")


class CheckpointError(SodaError, ValueError):
    """A checkpoint or model that cannot be written or read, or is of another run; the message names the file."""


class _DamagedError(CheckpointError):
    """A checkpoint whose content is not what was written."""


def run_key(config: Config, data_version: str, *begun_with: str) -> str:
    """What a run is resumed by: a hash of all that decides its weights: settings, data and the code that trains.

    begun_with: checksums of what it begins with besides, a teacher and the weights of another model; "" for none.
    """
    settings = to_dict(config)
    code = code_fingerprint("soda.training.loop")
    parts = [train_settings(config), settings["model"], settings["diffusion"], settings["views"], data_version, code]
    parts += [each for each in begun_with if each]
    digest = hashlib.sha256(yaml.safe_dump(parts, sort_keys=True).encode())
    if config.views.pairs.file:
        digest.update(Path(config.views.pairs.file).read_bytes())
    return digest.hexdigest()[:16]


def train_settings(config: Config) -> dict[str, Any]:
    """Those of config.train that decide what weights a run ends with."""
    return {k: v for k, v in to_dict(config)["train"].items() if k not in _NOT_PART_OF_A_RUN}


def previous(path: Path) -> Path:
    """Where the checkpoint before `path` is."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a resume state, whole or not at all, and keep the one before it. Raises CheckpointError when the disk refuses."""
    try:
        with whole_file(path) as temporary:
            torch.save({"format": FORMAT, "sha256": _sha256(state), **state}, temporary)
            if path.exists():
                _put(path, previous(path))
    except (OSError, RuntimeError) as error:
        kept = "; the one before it is untouched" if path.exists() else ""
        raise CheckpointError(f"{path}: the checkpoint could not be written ({error}){kept}") from error


def load_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """Read a resume state of the run `key`; where its file is damaged, the one before it, which then takes its place.

    Raises CheckpointError when both are damaged, or when it is of another run.
    """
    try:
        return _read(path, key)
    except _DamagedError as error:
        earlier = previous(path)
        if not earlier.exists():
            raise CheckpointError(f"{error}; there is none before it; remove it to start this run anew") from error
        try:
            state = _read(earlier, key)
        except CheckpointError as worse:
            raise CheckpointError(f"{error}; nor is the one before it: {worse}; remove both to start this run anew") from worse
        log.warning("%s; going on from the one before it, %s", error, earlier.name)
        _put(earlier, path)
        return state


def _put(source: Path, target: Path) -> None:
    """Give a file a second name, which may be taken: there is no moment in which either is missing."""
    with whole_file(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # a disk without links
            temporary.write_bytes(source.read_bytes())


def _read(path: Path, key: str) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        raise _DamagedError(f"{path}: not a readable checkpoint ({_first_line(error)})") from error
    if not isinstance(state, dict) or state.pop("format", None) != FORMAT:
        raise _DamagedError(f"{path}: not a checkpoint of this program")
    if state.pop("sha256", None) != _sha256(state):
        raise _DamagedError(f"{path}: not what was written: its checksum is another")
    if state["key"] != key:
        raise CheckpointError(
            f"{path}: belongs to run {state['key']}, not to {key}: other settings, data or code; remove it to start anew"
        )
    return state


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _sha256(state: dict[str, Any]) -> str:
    """Over all tensors and all plain values of a state, by where they are in it."""
    tensors: dict[str, Tensor] = {}
    plain = hashlib.sha256()
    for place, value in _leaves(state, ""):
        if isinstance(value, Tensor):
            tensors[place] = value.detach().cpu()
        else:
            plain.update(f"{place}={value!r}\n".encode())
    plain.update(tensors_sha256(tensors).encode())
    return plain.hexdigest()


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{place}/{key}")
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            yield from _leaves(part, f"{place}/{number}")
    else:
        yield place, value


def save_model(folder: Path, model: SodaNetwork, config: Config, *, data_version: str, images: int) -> None:
    """Write weights (safetensors) and the configuration that rebuilds the model, both or none."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    settings = yaml.safe_dump(to_dict(config), sort_keys=False).encode()
    notes = {"data_version": data_version, "dataset": config.dataset.name, "images": str(images)}
    notes |= {"weights_sha256": tensors_sha256(tensors), "config_sha256": hashlib.sha256(settings).hexdigest()}
    metadata = {"soda": json.dumps(notes)}  # one entry: safetensors writes several in an order that changes from run to run
    try:
        with whole_folder(folder) as temporary:
            save_file(tensors, temporary / "model.safetensors", metadata=metadata)
            (temporary / "config.yaml").write_bytes(settings)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: the model could not be written ({error})") from error


def load_model(folder: Path, device: str | torch.device = "cpu") -> tuple[SodaNetwork, Config]:
    """The model in eval mode, rebuilt from the configuration beside its weights.

    Raises CheckpointError naming the file that is missing, damaged, altered since it was saved, or does not fit the other.
    """
    settings, weights = folder / "config.yaml", folder / "model.safetensors"
    for file in (settings, weights):
        if not file.is_file():
            raise CheckpointError(f"{file}: no such file; is {folder} the folder of a trained model?")
    try:
        config = from_dict(migrate(yaml.safe_load(settings.read_text(encoding="utf-8"))))
    except (ConfigError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{settings}: {error}") from error
    model = build_model(config)
    tensors = _read_weights(weights, model.state_dict())
    _require_unaltered(folder, tensors)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False).to(device), config


def _read_weights(file: Path, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: not readable safetensors ({error})") from error
    different = sorted(set(tensors) ^ set(wanted))
    if different:
        where = "missing" if different[0] in wanted else "not of this model"
        raise CheckpointError(f"{file}: does not fit config.yaml: {different[0]} is {where} ({len(different)} names differ)")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            shapes = f"{tuple(tensor.shape)}, config.yaml makes it {tuple(wanted[name].shape)}"
            raise CheckpointError(f"{file}: does not fit config.yaml: {name} is {shapes}")
    return tensors


def _require_unaltered(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Hold both files to what `save_model` noted of them; models saved before it did are taken as they are."""
    notes, settings = model_metadata(folder), folder / "config.yaml"
    if "weights_sha256" not in notes:
        return
    for file, noted, found in (
        (settings, notes["config_sha256"], hashlib.sha256(settings.read_bytes()).hexdigest()),
        (folder / "model.safetensors", notes["weights_sha256"], tensors_sha256(tensors)),
    ):
        if found != noted:
            raise CheckpointError(f"{file}: altered since the model was saved (sha256 {found[:12]}, it was {noted[:12]})")


def model_metadata(folder: Path) -> dict[str, str]:
    """What `save_model` noted: data_version, dataset, images, and checksums. Raises CheckpointError as `load_model` does."""
    file = folder / "model.safetensors"
    try:
        with safe_open(file, framework="pt") as tensors:
            return dict(json.loads((tensors.metadata() or {})["soda"]))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{file}: not readable safetensors ({error})") from error
