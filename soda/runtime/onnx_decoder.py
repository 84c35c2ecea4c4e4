"""denoiser.onnx as a Python object: latents in, pictures out, by deterministic DDIM in NumPy."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from soda.common.checks import one_of, whole_number
from soda.common.errors import InputError
from soda.common.timesteps import sampling_times
from soda.runtime.guidance import Guidance, directions_step, read_guidance
from soda.runtime.metadata import DENOISER_INPUTS, DENOISER_OUTPUTS, from_denoiser_props
from soda.runtime.session import ModelError, OnnxModel

OUTPUTS = ("array", "float", "pil")

Denoise: TypeAlias = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""x_t (N, C, S, S) and a table entry -> (x_0, eps)."""


class DecoderError(ModelError):
    """A file that is not a denoiser of this project; the message names the file and what is missing."""


class Decoder(OnnxModel):
    """A trained denoiser: z -> pictures. One object may serve several threads at once.

    path: a denoiser.onnx; providers and threads as `Encoder` takes them. batch_size: pictures denoised at once.

    Raises DecoderError when the file is missing, damaged or not a denoiser of this project, ValueError for an impossible setting.
    """

    failure = DecoderError

    def __init__(
        self, path: str | os.PathLike[str], *, providers: Sequence[str] | None = None, threads: int = 0, batch_size: int = 64
    ) -> None:
        self.batch_size = whole_number("batch_size", batch_size, 1)
        super().__init__(path, providers, threads, from_denoiser_props)
        self._check_nodes()
        self._table = np.asarray(self._metadata["alphas_cumprod"], np.float64)

    @property
    def sections(self) -> int:
        """How many equal parts z has: 0 is the finest, the last the coarsest."""
        return int(self._metadata["sections"])

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(C, S, S) of the pictures that are drawn."""
        return int(self._metadata["channels"]), *(int(self._metadata["image_size"]),) * 2

    @property
    def directions(self) -> list[dict[str, Any]]:
        """Directions of z, those that change pictures most first; `vector` is one standard deviation along it."""
        return list(self._metadata["directions"])

    def timesteps(self, steps: int | None = None) -> list[int]:
        """The table entries that so many steps visit, from T to 0; by default the model's own steps.

        From the schedule's table alone, as `soda.common.timesteps` has it: the list that a file of 0.1.0 brings along visits two
        entries of equal noise. Raises ValueError for steps outside 1 .. T.
        """
        own = int(self._metadata["sampling_steps"])
        return sampling_times(self._table, own if steps is None else steps, self._metadata["spacing"])

    def sample(
        self,
        z: np.ndarray,
        *,
        x_T: np.ndarray | None = None,
        seed: int = 0,
        steps: int | None = None,
        guidance: Guidance | None = None,
        clip: bool = True,
        output: str = "array",
    ) -> Any:
        """Draw pictures from z (N, D) or (D,), as `SODA.decode` of the torch model does with DDIM and eta 0.

        x_T: (N, C, S, S) float32, the noise to start from, else drawn from `seed` (the first picture gets the same for every N).
        steps: of the sampler, by default the model's own. guidance: one weight (1 is none, 0 ignores z), or on top of the model's
        own a weight for every section, or {section: weight}. clip: keep each predicted x_0 in [-1, 1]; not for an x_T from
        `invert`.
        output: "array" uint8 (N, S, S, C), "float" float32 (N, C, S, S) in [-1, 1], or "pil". Of one z one picture.

        Raises ValueError for shapes, steps, guidance or an output that do not fit, DecoderError for what cannot be shown.
        """
        one_of("output", output, OUTPUTS)
        latents, times = self._latents(z), self.timesteps(steps)
        noise = self.noise(len(latents), seed) if x_T is None else self._images("x_T", x_T, len(latents))
        drawn = self._in_parts(lambda denoise, x: self._ddim(denoise, x, times, clip), latents, noise, guidance)
        self._check_drawn("pictures", drawn)
        return _give(np.clip(drawn, -1, 1), output, single=np.ndim(z) == 1)

    def invert(
        self, images: np.ndarray, z: np.ndarray, *, steps: int | None = None, guidance: Guidance | None = None, rounds: int = 3
    ) -> np.ndarray:
        """The x_T (N, C, S, S) from which `sample(z, x_T=x_T, clip=False)`, with the same steps and guidance, draws these
        pictures.

        images: (N, C, S, S) float32 in [-1, 1] or uint8 (N, S, S, C); rounds: evaluations a step. What `soda.diffusion.inversion`
        does, without its secant. Raises ValueError as `sample` does.
        """
        whole_number("rounds", rounds, 1)
        latents, times = self._latents(z), self.timesteps(steps)
        if getattr(images, "dtype", None) == np.uint8 and np.ndim(images) == 4:
            images = np.asarray(images).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
        x_0 = self._images("images", images, len(latents))
        found = self._in_parts(lambda denoise, x: self._inverted(denoise, x, times, rounds), latents, x_0, guidance)
        self._check_drawn("x_T", found)
        return found

    def edit(self, z: np.ndarray, amounts: Mapping[int | str, float]) -> np.ndarray:
        """z (N, D) or (D,) moved by so many standard deviations along directions, by number or name.

        Raises ValueError for a direction that this file does not have, for an amount that is not finite and for another shape.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            step = directions_step(self._metadata["directions"], amounts, self.latent_dim)
            moved = self._latents(z) + step
        if not np.isfinite(moved).all():
            raise InputError(f"directions: {dict(amounts)} is too far: z would hold values that are not finite")
        return moved[0] if np.ndim(z) == 1 else moved

    def noise(self, count: int, seed: int = 0) -> np.ndarray:
        """x_T (count, C, S, S) float32 of `seed`. Other numbers than torch draws from the same seed. Raises ValueError for a seed
        that is no whole number from 0 up."""
        return np.random.default_rng(whole_number("seed", seed, 0)).standard_normal(
            (count, *self.picture_shape), dtype=np.float32
        )

    def predict(self, x_t: np.ndarray, t: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The graph itself: x_t (N, C, S, S) float32, t (N,) int64 in 1 .. T, z (N, D) float32 -> (x_0, eps).

        Raises DecoderError when the model fails at them.
        """
        feeds = dict(zip(DENOISER_INPUTS, (x_t, t, z), strict=True))
        x_0, eps = self._infer(feeds, dict.fromkeys(DENOISER_OUTPUTS, x_t.shape))
        return x_0, eps

    def _check_drawn(self, what: str, values: np.ndarray) -> None:
        if not np.isfinite(values).all():
            raise DecoderError(
                f"{self.path}: the {what} that it drew hold values that are not finite: is the guidance too strong?"
            )

    def _denoiser(self, z: np.ndarray, whole: float, sections: Mapping[int, float]) -> Denoise:
        """Bound to z (n, D) and guided, as `soda.model.network.SODA.denoise_with` says."""
        scales = {k: weight for k, weight in sections.items() if weight != 1.0}

        def plain(x_t: np.ndarray, t: int, latents: np.ndarray = z) -> tuple[np.ndarray, np.ndarray]:
            return self.predict(x_t, np.full(len(x_t), t, np.int64), latents)

        if whole == 1.0 and not scales:
            return plain

        def guided(x_t: np.ndarray, t: int) -> tuple[np.ndarray, np.ndarray]:
            given = eps = plain(x_t, t)[1]
            if whole != 1.0:
                eps = eps + np.float32(whole - 1) * (given - plain(x_t, t, np.zeros_like(z))[1])
            for k, weight in scales.items():
                eps = eps + np.float32(weight - 1) * (given - plain(x_t, t, _without(z, k, self.sections))[1])
            signal, sigma = np.float32(math.sqrt(self._table[t])), np.float32(math.sqrt(1 - self._table[t]))
            return (x_t - sigma * eps) / signal, eps

        return guided

    def _in_parts(
        self, walk: Callable[[Denoise, np.ndarray], np.ndarray], latents: np.ndarray, x: np.ndarray, guidance: Guidance | None
    ) -> np.ndarray:
        """`walk(denoise, x)`, `batch_size` pictures at a time. What it makes may not be finite: for the caller to check."""
        whole, sections = read_guidance(guidance, self.sections, float(self._metadata["guidance_scale"]))
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [slice(start, start + self.batch_size) for start in range(0, len(latents), self.batch_size)]
            done = [walk(self._denoiser(latents[part], whole, sections), x[part]) for part in parts]
        return np.concatenate(done)

    def _ddim(self, denoise: Denoise, x: np.ndarray, times: list[int], clip: bool) -> np.ndarray:
        """DDIM with eta 0 (Song et al. 2021, eq. 12), from the noisiest entry down to the clean one."""
        for t, t_next in pairwise(times):
            abar, after = float(self._table[t]), float(self._table[t_next])
            x_0, eps = denoise(x, t)
            if clip:
                x_0 = np.clip(x_0, -1, 1)
                eps = (x - np.float32(math.sqrt(abar)) * x_0) / np.float32(math.sqrt(1 - abar))  # both still explain x
            x = np.float32(math.sqrt(after)) * x_0 + np.float32(math.sqrt(max(0.0, 1 - after))) * eps
        return x

    def _inverted(self, denoise: Denoise, x: np.ndarray, times: list[int], rounds: int) -> np.ndarray:
        """Each step of `_ddim` solved for the point that it came from, by fixed-point iteration from the noise last seen."""
        eps = np.zeros_like(x)
        for t_before, t in pairwise(times[::-1]):
            before, abar = float(self._table[t_before]), float(self._table[t])
            carried = np.float32(math.sqrt(abar / before)) * x
            weight = np.float32(math.sqrt(1 - abar) - math.sqrt(abar * (1 - before) / before))
            x = carried + weight * eps
            for _ in range(rounds):
                eps = denoise(x, t)[1]
                x = carried + weight * eps
        return x

    def _latents(self, z: np.ndarray) -> np.ndarray:
        latents = np.atleast_2d(np.asarray(z, np.float32))
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim or not len(latents):
            raise InputError(f"z has shape {np.shape(z)}; this model takes (N, {self.latent_dim}) or ({self.latent_dim},)")
        if not np.isfinite(latents).all():
            raise InputError("z holds values that are not finite (NaN or infinity)")
        return np.ascontiguousarray(latents)

    def _images(self, name: str, given: np.ndarray, count: int) -> np.ndarray:
        images = np.asarray(given, np.float32)
        images = images[None] if images.ndim == 3 else images
        if images.shape != (count, *self.picture_shape):
            raise InputError(f"{name} has shape {np.shape(given)}; for these z it is {(count, *self.picture_shape)}")
        if not np.isfinite(images).all():
            raise InputError(f"{name} holds values that are not finite (NaN or infinity)")
        return np.ascontiguousarray(images)

    def _check_nodes(self) -> None:
        image, latent = list(self.picture_shape), [self.latent_dim]
        wanted = {"x_t": ("tensor(float)", image), "t": ("tensor(int64)", []), "z": ("tensor(float)", latent)}
        wanted_outputs = {"x_0": ("tensor(float)", image), "eps": ("tensor(float)", image)}
        for kind, nodes, expected in (("inputs", self._inputs, wanted), ("outputs", self._outputs, wanted_outputs)):
            found = {name: (type_, shape[1:]) for name, (type_, shape) in nodes.items()}
            if found != expected:
                raise DecoderError(f"{self.path}: its {kind} are {found}; a denoiser of its metadata has {expected}")


def _without(z: np.ndarray, section: int, sections: int) -> np.ndarray:
    """z (n, D) with one section at zero."""
    out, width = z.copy(), z.shape[1] // sections
    out[:, section * width : (section + 1) * width] = 0
    return out


def _give(images: np.ndarray, output: str, *, single: bool) -> Any:
    """images: (N, C, S, S) in [-1, 1]."""
    if output == "float":
        return images[0] if single else images
    pixels = np.floor((images.transpose(0, 2, 3, 1) + 1) * 127.5 + 0.5).clip(0, 255).astype(np.uint8)
    if output == "array":
        return pixels[0] if single else pixels
    given = [Image.fromarray(each[:, :, 0] if each.shape[2] == 1 else each) for each in pixels]
    return given[0] if single else given
