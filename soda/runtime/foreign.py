"""Somebody else's ONNX file as an encoder: pictures in, vectors out, with the preprocessing that its maker declared."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from soda.common.errors import InputError
from soda.runtime.foreign_settings import Preprocessing
from soda.runtime.metadata import OUTPUT, MetadataError
from soda.runtime.onnx_encoder import Encoder, EncoderError
from soda.runtime.preprocess import to_square
from soda.runtime.session import OnnxModel

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class ForeignEncoder(Encoder):
    """An ONNX file with one input of pictures and an output of vectors (N, D), of maps (N, D, h, w) or (N, h, w, D), or of
    tokens (N, T, D); of maps and tokens the mean is taken. All that `Encoder` does works; "stats" changes nothing, since nobody
    knows the statistics. What it gives is called z here, too.

    Raises EncoderError where the file or its output cannot be used so, naming it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        preprocessing: Preprocessing,
        *,
        providers: Sequence[str] | None = None,
        threads: int = 0,
    ) -> None:
        self.preprocessing = preprocessing
        super().__init__(path, providers=providers, threads=threads)

    def _described(self, props: Mapping[str, str]) -> dict[str, Any]:
        given, made = self._session.get_inputs(), {node.name: node for node in self._session.get_outputs()}
        if len(given) != 1 or given[0].type not in _TYPES or len(given[0].shape) != 4:
            shown = ", ".join(f"{node.name} {node.type} {node.shape}" for node in given)
            raise MetadataError(f"it takes {shown}; an encoder takes one tensor of pictures, float, float16 or uint8 of rank 4")
        wanted = self.preprocessing.output
        if wanted and wanted not in made:
            raise MetadataError(f"it has no output {wanted!r}, only {', '.join(made)}")
        if not wanted and len(made) > 1:
            raise MetadataError(f"it has the outputs {', '.join(made)}; say which by `output:` in the preprocessing")
        self._input, self._wanted = given[0].name, wanted or next(iter(made))
        self._type, batch = _TYPES[given[0].type], given[0].shape[0]
        self._batch = batch if isinstance(batch, int) and batch > 0 else 0  # 0: any number of pictures
        size = self.preprocessing.size
        width = self._vectors(np.zeros((1, size, size, 3), np.uint8)).shape[1]
        digest = hashlib.sha256(self._digest + f"{self.preprocessing.key()} {self._wanted}".encode()).hexdigest()
        return {
            "latent_dim": width,
            "image_size": size,
            "channels": 3,
            "resize": self.preprocessing.resize,
            "z_mean": [0.0] * width,
            "z_std": [1.0] * width,
            "sha256": digest,
            "dataset": "",
        }

    def _check_nodes(self) -> None:
        """Done by `_described`."""

    def run_outputs(self, images: np.ndarray, outputs: Sequence[str]) -> list[np.ndarray]:
        """uint8 RGB (N, H, W, 3), squared first where they are not -> [(N, D)] float32. Raises as `Encoder.run` does."""
        shape: tuple[int, ...] = getattr(images, "shape", ())
        if getattr(images, "dtype", None) != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise InputError(f"the encoder takes uint8 (N, H, W, 3), none of them 0, not {shape}")
        size = self.image_size
        if shape[1:3] != (size, size):
            images = np.stack([to_square(Image.fromarray(p), size, resize=self.preprocessing.resize) for p in images])
        assert tuple(outputs) == (OUTPUT,)
        return [self._vectors(images)]

    def _vectors(self, squares: np.ndarray) -> np.ndarray:
        if not self._batch:
            return self._some(squares)
        parts = []
        for start in range(0, len(squares), self._batch):
            part = squares[start : start + self._batch]
            short = self._batch - len(part)  # a graph of a fixed number of pictures gets the last one again
            parts.append(self._some(np.concatenate([part, part[-1:].repeat(short, axis=0)]) if short else part)[: len(part)])
        return np.concatenate(parts)

    def _some(self, squares: np.ndarray) -> np.ndarray:
        x = self.preprocessing.tensor(squares)
        given = np.rint(x).clip(0, 255).astype(np.uint8) if self._type is np.uint8 else x.astype(self._type)
        try:
            (found,) = self._session.run([self._wanted], {self._input: given})
        except Exception as error:  # onnxruntime's errors share no base class
            why = " ".join(str(error).split())[:200]
            raise EncoderError(
                f"{self.path}: it failed at {self._input} {given.shape}; does the preprocessing suit? {why}"
            ) from None
        found = np.asarray(found, np.float32)
        if found.ndim == 4:
            found = found.mean((2, 3) if self.preprocessing.layout == "nchw" else (1, 2))
        elif found.ndim == 3:
            found = found.mean(1)
        if found.ndim != 2 or len(found) != len(squares) or not np.isfinite(found).all():
            raise EncoderError(
                f"{self.path}: its output {self._wanted} is {found.shape}, or not finite: no vectors of {len(squares)}"
            )
        return found


class _Looked(OnnxModel):
    """A file as it is, to be looked at."""

    failure = EncoderError


def describe(path: str | os.PathLike[str]) -> tuple[Preprocessing, dict[str, str]]:
    """The preprocessing as far as the file tells it, and a remark on each setting that is a guess.

    Raises EncoderError for a file that onnxruntime cannot load, or whose input is no tensor of pictures.
    """
    looked = _Looked(path, None, 1, lambda props: {"image_size": 0, "latent_dim": 0})
    inputs = [(name, kind, shape) for name, (kind, shape) in looked._inputs.items() if len(shape) == 4]
    if len(looked._inputs) != 1 or not inputs or inputs[0][1] not in _TYPES:
        shown = ", ".join(f"{name} {kind} {shape}" for name, (kind, shape) in looked._inputs.items())
        raise EncoderError(f"{os.fspath(path)}: it takes {shown}; an encoder takes one tensor of pictures of rank 4")
    _, kind, shape = inputs[0]
    layout = "nhwc" if shape[3] == 3 and shape[1] != 3 else "nchw"
    side = shape[2] if isinstance(shape[2], int) and shape[2] > 0 else None
    vectors = [name for name, (_, each) in looked._outputs.items() if len(each) == 2]
    rest = [name for name, (_, each) in looked._outputs.items() if len(each) in (3, 4)]
    found = [*vectors, *rest]
    if not found:
        raise EncoderError(f"{os.fspath(path)}: no output of vectors, maps or tokens among {', '.join(looked._outputs)}")
    remarks = {
        "range": "a guess: what 0 and 255 become, before mean and std; its maker says it",
        "mean": "a guess: ImageNet's; [0, 0, 0] where its maker names none",
        "std": "a guess: ImageNet's; [1, 1, 1] where its maker names none",
        "resize": "crop: the centre square; stretch: the whole picture",
    }
    about: dict[str, Any] = {"size": side or 224, "layout": layout, "output": found[0]}
    if side is None:
        remarks["size"] = "a guess: the file takes any"
    if len(found) > 1:
        remarks["output"] = f"or {', '.join(found[1:])}"
    if kind == "tensor(uint8)":
        about |= {"range": (0.0, 255.0), "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
        remarks = {key: value for key, value in remarks.items() if key not in ("range", "mean", "std")}
    return Preprocessing(**about), remarks
