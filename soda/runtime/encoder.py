"""encoder.onnx as a Python object: pictures in, latents out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soda.runtime.items import Item, named, square_pixels
from soda.runtime.metadata import INPUT, OUTPUT, MetadataError, from_props

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

NORMALIZATIONS = (None, "stats", "l2")


class EncoderError(ValueError):
    """A file that is not an encoder of this project; the message names the file and what is missing."""


class Encoder:
    """A trained encoder: pictures -> z, `latent_dim` numbers each. One object may serve several threads at once.

    path: an encoder.onnx. providers: of onnxruntime, in order of preference; by default the CPU. threads: that one call may use;
    0 leaves it to onnxruntime (one a core).

    Raises EncoderError when the file is missing, damaged or not an encoder of this project, ValueError for a provider that this
    onnxruntime does not have and for a negative number of threads.
    """

    def __init__(self, path: str | os.PathLike[str], *, providers: Sequence[str] | None = None, threads: int = 0) -> None:
        self.path = Path(path)
        self._session = _open_session(self.path, providers, threads)
        self._metadata = _check_encoder(self.path, self._session)
        self._mean = _constant(self._metadata["z_mean"])
        self._std = _constant(self._metadata["z_std"])

    @property
    def latent_dim(self) -> int:
        """D, the length of z."""
        return int(self._metadata["latent_dim"])

    @property
    def image_size(self) -> int:
        """S, px: the side of the square to which every picture is resized."""
        return int(self._metadata["image_size"])

    @property
    def metadata(self) -> dict[str, Any]:
        """What the file says of itself: data set, versions, probe figures and more (`soda.runtime.metadata` lists the keys)."""
        return dict(self._metadata)

    @property
    def mean(self) -> np.ndarray:
        """Mean of each component of z over the training pictures: (D,) float32."""
        return self._mean

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each component of z over the training pictures, above 0: (D,) float32."""
        return self._std

    def __repr__(self) -> str:
        return f"Encoder({os.fspath(self.path)!r}, latent_dim={self.latent_dim}, image_size={self.image_size})"

    def embed(self, items: Item | Iterable[Item], *, batch_size: int = 64, normalize: str | None = None) -> np.ndarray:
        """Encode pictures of any sizes: (n, D) float32, a row for each picture, in their order.

        items: one picture or any number of them, of mixed kinds: paths, Pillow images, uint8 arrays (H, W), (H, W, 1), (H, W, 3)
        or (H, W, 4), or one array (N, H, W, 3). An iterator is read `batch_size` pictures at a time.
        normalize: None for z as it is; "stats" for zero mean and unit variance over the training pictures; "l2" for unit length,
        so that dot products are cosines.

        Raises PictureError for a picture that cannot be read, TypeError for a wrong type or dtype, ValueError for a wrong shape,
        an empty list or an unknown setting; each message names the picture or the value.
        """
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize: {normalize!r} is not possible; it wants one of {', '.join(map(str, NORMALIZATIONS))}")
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size!r} is not possible; it wants 1 or more")
        parts = [self.run(batch) for batch in self._batches(items, batch_size)]
        if not parts:
            raise ValueError("there is nothing to embed: not a single picture was given")
        return self._normalized(np.concatenate(parts), normalize)

    def run(self, images: np.ndarray) -> np.ndarray:
        """The graph itself: uint8 RGB (N, H, W, 3), N pictures of one size, whatever it is -> z (N, D) float32.

        What `embed` gives for the same pictures, without a look at each. Raises ValueError for another dtype or shape.
        """
        shape: tuple[int, ...] = getattr(images, "shape", ())
        if getattr(images, "dtype", None) != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            given = f"{getattr(images, 'dtype', type(images).__name__)} {shape}"
            raise ValueError(f"the encoder takes uint8 (N, H, W, 3), none of them 0, not {given}")
        return self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(images)})[0]

    def _batches(self, items: Item | Iterable[Item], size: int) -> Iterator[np.ndarray]:
        pictures = named(items)
        side, resize = self.image_size, self._metadata["resize"]
        # Squared here although the graph could do it: Pillow is as fast, and pictures of several sizes then share a batch.
        while chunk := [square_pixels(name, item, size=side, resize=resize) for name, item in islice(pictures, size)]:
            yield np.stack(chunk)

    def _normalized(self, z: np.ndarray, normalize: str | None) -> np.ndarray:
        if normalize == "stats":
            return (z - self._mean) / self._std
        if normalize == "l2":
            return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return z


def _constant(values: list[float]) -> np.ndarray:
    array = np.asarray(values, np.float32)
    array.setflags(write=False)
    return array


def _open_session(path: Path, providers: Sequence[str] | None, threads: int) -> InferenceSession:
    import onnxruntime  # here and not above: most of the import time, which preparation need not pay

    if threads < 0:
        raise ValueError(f"threads: {threads!r} is not possible; it wants 0 or more")
    wanted = list(providers) if providers is not None else ["CPUExecutionProvider"]
    available = onnxruntime.get_available_providers()
    for provider in wanted:
        if provider not in available:
            raise ValueError(f"providers: this onnxruntime has no {provider!r}; it has {', '.join(available)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EncoderError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; they are raised as well
    try:
        return onnxruntime.InferenceSession(content, options, providers=wanted)
    except Exception as error:  # onnxruntime's errors share no base class
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise EncoderError(f"{path}: not a model that onnxruntime can load: {reason}") from None


def _check_encoder(path: Path, session: InferenceSession) -> dict[str, Any]:
    try:
        metadata = from_props(session.get_modelmeta().custom_metadata_map)
    except MetadataError as error:
        raise EncoderError(f"{path}: {error}") from None
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    if set(inputs) != {INPUT}:
        raise EncoderError(f"{path}: its inputs are {', '.join(inputs) or 'none'}; an encoder has one, {INPUT}")
    images = inputs[INPUT]
    if images.type != "tensor(uint8)" or len(images.shape) != 4 or images.shape[3] != 3:
        raise EncoderError(f"{path}: its input {INPUT} is {images.type} {images.shape}; an encoder takes uint8 (N, H, W, 3)")
    if OUTPUT not in outputs:
        raise EncoderError(f"{path}: it has no output {OUTPUT}, only {', '.join(outputs)}")
    z = outputs[OUTPUT]
    if z.type != "tensor(float)" or len(z.shape) != 2 or z.shape[1] != metadata["latent_dim"]:
        wanted = f"float (N, {metadata['latent_dim']})"
        raise EncoderError(f"{path}: its output {OUTPUT} is {z.type} {z.shape}; its metadata says {wanted}")
    return metadata
