"""encoder.onnx as a Python object: pictures in, latents out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from soda.common.checks import one_of, whole_number
from soda.common.errors import InputError
from soda.runtime.items import Item, named
from soda.runtime.metadata import FEATURES, INPUT, OUTPUT, OUTPUTS, PREFIX, MetadataError, from_props
from soda.runtime.names import one_line
from soda.runtime.preprocess import MAX_PIXELS
from soda.runtime.progress import Line, Progress
from soda.runtime.session import ModelError, OnnxModel
from soda.runtime.signed import require_signed
from soda.runtime.stream import Skipped, default_workers, pixel_batches
from soda.runtime.walk import Passed, pictures_in

NORMALIZATIONS = (None, "stats", "l2", "stats+l2")
ERRORS = ("raise", "skip")
SEARCH = "search"
"""As an output: the one that the file says finds what is alike better."""

_log = logging.getLogger(__name__)


class EncoderError(ModelError):
    """A file that is not an encoder of this project; the message names the file and what is missing."""


@dataclass(frozen=True)
class Embedded:
    """Some pictures and their vectors. names: of the files, or "item 3"; z: (n, D) float32, a row for each name, of the encoder's
    output; indices: their places among what was given; skipped: what could not be read."""

    names: list[str]
    z: np.ndarray
    indices: list[int]
    skipped: list[Skipped]


class EmbedOptions(TypedDict, total=False):
    """What every way to embed takes besides the pictures; `Encoder.embed` says what each means."""

    batch_size: int
    normalize: str | None
    errors: str | None
    workers: int | None
    progress: Progress
    max_pixels: int


class Encoder(OnnxModel):
    """A trained encoder: pictures -> z, `latent_dim` numbers each. One object may serve several threads at once, and it can
    be pickled for other processes and machines.

    path: an encoder.onnx. output: what all methods give: "z"; "features", the longer vectors that the last layer makes z of;
    "search", the one of the two that finds what is alike better, as the file says. providers: of onnxruntime, in order of
    preference; by default the CPU. threads: that one call may use; 0 leaves it to onnxruntime (one a core). mean, std: of each
    component of the output over the training pictures, (D,) float32; statistics: both of every output. verify: the public key
    that the release must be signed with in whose folder the file lies; nothing of it is loaded before. It needs cryptography.

    Raises EncoderError when the file is missing, damaged or not an encoder of this project, or has no such output, ValueError for
    a provider that this onnxruntime does not have, for another output and for a negative number of threads.
    """

    failure = EncoderError

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        output: str = OUTPUT,
        providers: Sequence[str] | None = None,
        threads: int = 0,
        verify: str | os.PathLike[str] | None = None,
    ) -> None:
        self._public = None if verify is None else Path(verify)
        super().__init__(path, providers, threads, self._described)
        one_of("output", output, (*OUTPUTS, SEARCH))
        self.output = str(self._metadata.get("search_vectors", OUTPUT)) if output == SEARCH else output
        if self.output not in self.widths:
            cure = "export the model again with export.features=true, or take z"
            raise EncoderError(f"{self.path}: it has no output {self.output}, only {OUTPUT}; {cure}")
        self._check_nodes()
        self.statistics = {
            name: tuple(np.asarray(self._metadata[f"{name}_{key}"], np.float32) for key in ("mean", "std"))
            for name in self.widths
        }
        self.mean, self.std = self.statistics[self.output]
        for constant in (self.mean, self.std):
            constant.setflags(write=False)

    def _described(self, props: Mapping[str, str]) -> dict[str, Any]:
        """What the file says of itself. Raises MetadataError."""
        try:
            return from_props(props)
        except MetadataError as error:
            if PREFIX + "format" in props:
                raise
            raise MetadataError(f"{error}; `soda describe` prepares the encoders of others for --preprocess") from None

    def _read(self) -> bytes:
        content = super()._read()
        if self._public is not None:
            require_signed(self.path, content, self._public)
        return content

    @property
    def widths(self) -> dict[str, int]:
        """The outputs that the file has, and how many numbers a picture has of each."""
        more = {FEATURES: int(self._metadata["features_dim"])} if "features_dim" in self._metadata else {}
        return {OUTPUT: self.latent_dim, **more}

    @property
    def width(self) -> int:
        """How many numbers the output has: `latent_dim` of z."""
        return self.widths[self.output]

    @property
    def image_size(self) -> int:
        """S, px: the side of the square to which every picture is resized."""
        return int(self._metadata["image_size"])

    def embed(self, items: Item | Iterable[Item], **settings: Unpack[EmbedOptions]) -> np.ndarray:
        """Encode pictures of any sizes: (n, D) float32, a row for each picture, in their order.

        items: one picture or any number of them, of mixed kinds: paths, Pillow images, uint8 arrays (H, W), (H, W, 1), (H, W, 3)
        or (H, W, 4), or one array (N, H, W, 3); or a folder, for all pictures in it and below it, sorted by path. An iterator is
        read a few batches ahead of the model.
        batch_size: pictures encoded at once, by default 64.
        normalize: None for z as it is; "stats" for zero mean and unit variance over the training pictures; "l2" for unit length,
        so that dot products are cosines; "stats+l2" for both, in which neighbours are looked for.
        errors: "raise", or "skip" to leave out, and log, what cannot be read; by default "skip" for a folder. `stream` and
        `embed_all` tell which pictures these are. workers: threads that decode files, by default one a core.
        progress: True for a line on standard error, or a function that is called with the number of pictures done.
        max_pixels: of a file; larger ones are not decoded. A JPEG may have four times as many: it is decoded small.

        Raises PictureError for a picture that cannot be read, TypeError for a wrong type or dtype, ValueError for a wrong shape,
        nothing to embed or an unknown setting; each message names the picture or the value.
        """
        return self.embed_all(items, **settings).z

    def embed_all(self, items: Item | Iterable[Item], **settings: Unpack[EmbedOptions]) -> Embedded:
        """What `embed` does, with the names of the pictures and what was skipped."""
        batches = list(self.stream(items, **settings))
        names, indices, skipped = (
            [each for batch in batches for each in getattr(batch, part)] for part in ("names", "indices", "skipped")
        )
        if not indices:
            reasons = f"; the first of {len(skipped)} that cannot be read: {skipped[0].reason}" if skipped else ""
            if not skipped and isinstance(items, (str, os.PathLike)):
                passed = Passed()
                list(pictures_in(items, passed=passed))
                reasons = f" by {os.fspath(items)}{passed}"
            raise InputError(f"there is nothing to embed: not a single picture was given{reasons}")
        return Embedded(names, np.concatenate([batch.z for batch in batches]), indices, skipped)

    def stream(
        self,
        items: Item | Iterable[Item],
        *,
        batch_size: int = 64,
        normalize: str | None = None,
        errors: str | None = None,
        workers: int | None = None,
        progress: Progress = False,
        max_pixels: int = MAX_PIXELS,
        keep: Callable[[np.ndarray, np.ndarray], object] | None = None,
    ) -> Iterator[Embedded]:
        """The same a batch at a time, in flat memory however many pictures there are; a batch may be empty but for what it
        skipped. keep: given every batch, images (n, S, S, 3) uint8 and raw z (n, D), for a sample of them.

        Settings and errors are those of `embed`; nothing at all is no error here.
        """
        folder = isinstance(items, (str, os.PathLike)) and os.path.isdir(items)
        errors = errors or ("skip" if folder else "raise")
        one_of("normalize", normalize, NORMALIZATIONS)
        whole_number("batch_size", batch_size, 1)
        one_of("errors", errors, ERRORS)
        whole_number("max_pixels", max_pixels, 1)
        workers = default_workers() if workers is None else whole_number("workers", workers, 0)
        within = ((name, os.path.join(items, name)) for name in pictures_in(items)) if folder else None  # type: ignore[arg-type]
        done, line = 0, Line() if progress is True else None
        report = line or (progress if callable(progress) else None)
        batches = pixel_batches(
            within or named(items),
            size=self.image_size,
            resize=self._metadata["resize"],
            batch_size=batch_size,
            workers=workers,
            skip=errors == "skip",
            max_pixels=max_pixels,
        )
        try:
            for batch in batches:
                for each in batch.skipped:
                    _log.warning("skipped: %s", one_line(each.reason))
                # Squared before although the graph could do it: Pillow is as fast, and pictures of several sizes share a batch.
                z = self._run_and_keep(batch.pixels, keep) if batch.indices else np.empty((0, self.width), np.float32)
                done += len(batch.indices) + len(batch.skipped)
                if report:
                    report(done)
                yield Embedded(batch.names, self.normalized(z, normalize), batch.indices, batch.skipped)
        finally:
            batches.close()  # type: ignore[attr-defined]
            if line:
                line.close()

    def _run_and_keep(self, images: np.ndarray, keep: Callable[[np.ndarray, np.ndarray], object] | None) -> np.ndarray:
        if keep is None:
            return self.run(images)
        found = self.run_outputs(images, list(dict.fromkeys((self.output, OUTPUT))))
        keep(images, found[-1])
        return found[0]

    def run(self, images: np.ndarray) -> np.ndarray:
        """The graph itself: uint8 RGB (N, H, W, 3), N pictures of one size, whatever it is -> z (N, D) float32, or the features.

        What `embed` gives for the same pictures, without a look at each. Raises ValueError for another dtype or shape,
        EncoderError when the model fails at them.
        """
        return self.run_outputs(images, (self.output,))[0]

    def run_outputs(self, images: np.ndarray, outputs: Sequence[str]) -> list[np.ndarray]:
        """Several outputs of the file in one run, each as `run` gives it. Raises what `run` raises."""
        shape: tuple[int, ...] = getattr(images, "shape", ())
        if getattr(images, "dtype", None) != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            given = f"{getattr(images, 'dtype', type(images).__name__)} {shape}"
            raise InputError(f"the encoder takes uint8 (N, H, W, 3), none of them 0, not {given}")
        feeds = {INPUT: np.ascontiguousarray(images)}
        return self._infer(feeds, {name: (len(images), self.widths[name]) for name in outputs})

    def normalized(self, z: np.ndarray, normalize: str | None, output: str | None = None) -> np.ndarray:
        """z (n, D) as `embed` normalises it; output: what it is, where it is not this encoder's. Raises ValueError for an unknown
        way."""
        one_of("normalize", normalize, NORMALIZATIONS)
        if normalize in ("stats", "stats+l2"):
            mean, std = self.statistics[output or self.output]
            z = (z - mean) / std
        if normalize in ("l2", "stats+l2"):
            z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return z

    def _check_nodes(self) -> None:
        if set(self._inputs) != {INPUT}:
            raise EncoderError(f"{self.path}: its inputs are {', '.join(self._inputs) or 'none'}; an encoder has one, {INPUT}")
        kind, shape = self._inputs[INPUT]
        if kind != "tensor(uint8)" or len(shape) != 4 or shape[3] != 3:
            raise EncoderError(f"{self.path}: its input {INPUT} is {kind} {shape}; an encoder takes uint8 (N, H, W, 3)")
        for name, width in self.widths.items():
            if name not in self._outputs:
                raise EncoderError(f"{self.path}: it has no output {name}, only {', '.join(self._outputs)}")
            kind, shape = self._outputs[name]
            if kind != "tensor(float)" or len(shape) != 2 or shape[1] != width:
                said = f"its metadata says float (N, {width})"
                raise EncoderError(f"{self.path}: its output {name} is {kind} {shape}; {said}")
