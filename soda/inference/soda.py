"""A trained model as an object to work with: `SODA.from_pretrained("models/soda")`. Images in, latents and images out.

Images may be paths, Pillow images, uint8 arrays or tensors, one or several. What comes out is a tensor (B, C, S, S) in
[-1, 1], or with `output` uint8 arrays or Pillow images. One image (or one z) in, one out, without the batch dimension. All
that is random comes from `seed`: the same call gives the same images.

Arguments that every drawing method takes: seed, of the noise that sampling starts from (another for each image of a batch);
steps of the sampler, one evaluation of the denoiser each and two with guidance, by default the model's own; guidance, one weight
(1 is none, 0 ignores z), or on top of the model's own a weight for every section in order, or {section: weight}; output,
"tensor", "array" or "pil", by default the model's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from soda.common.checks import one_of
from soda.common.errors import InputError
from soda.config import Config
from soda.geometry.cameras import Camera
from soda.inference.directions import Directions, directions_file, directions_of, save_directions, weights_sha256
from soda.inference.discovery import discover
from soda.inference.drawer import Drawer, Sampling
from soda.inference.image_io import OUTPUTS, Format, ImageLike, give, is_single, read_latents, read_noise, read_pictures
from soda.inference.interpolation import interpolate
from soda.inference.mixing import mixes
from soda.inference.novel_view import Cameras, novel_views
from soda.model.network import SodaNetwork
from soda.runtime.guidance import Guidance
from soda.runtime.preprocess import MAX_PIXELS
from soda.training.checkpoint import load_model, model_metadata
from soda.training.distributed import choose_device

Images = ImageLike | Iterable[ImageLike]
Amounts = Mapping[int | str, float]


class DrawingOptions(TypedDict, total=False):
    """What every drawing method takes besides its own arguments."""

    seed: int
    steps: int | None
    guidance: Guidance | None


class SODA:
    """A trained encoder and denoiser; made by `SODA.from_pretrained(folder)`.

    folder: where the model came from, and beside which its directions are kept. output: what images come out as. fit: prepare
    images of another size or mode as the training images were, instead of refusing them. max_pixels: of a file; larger ones are
    refused. progress: show a bar while sampling. batch_size: images denoised at once; with a stochastic sampler (ddpm, or eta
    above 0) it is part of what a seed decides.
    latent_dim: D, the length of z; sections: how many equal parts it has, the finest first.
    """

    def __init__(
        self,
        network: SodaNetwork,
        config: Config,
        folder: Path,
        *,
        output: str = "tensor",
        fit: bool = False,
        progress: bool = False,
        batch_size: int = 64,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        one_of("output", output, OUTPUTS)
        self.network, self.config, self.folder, self.output = network, config, folder, output
        self.latent_dim, self.sections = network.latent_dim, network.sections
        self.form = Format(network.image_size, network.channels, config.dataset.resize, fit, max_pixels)
        self._drawer = Drawer(network, batch_size=batch_size, progress=progress)
        self._directions: Directions | None = None

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], *, device: str = "auto", **settings: Any) -> SODA:
        """Load the folder that the train stage wrote. device: auto, cpu or cuda; settings: those of SODA itself.

        Raises CheckpointError naming the file that is missing, damaged or altered, ValueError for a device that is not there.
        """
        network, config = load_model(Path(folder), choose_device(device))
        return cls(network, config, Path(folder), **settings)

    def __repr__(self) -> str:
        sizes = f"latent_dim={self.latent_dim}, sections={self.sections}, image_size={self.form.size}"
        return f"SODA({os.fspath(self.folder)!r}, {sizes})"

    def encode(self, images: Images) -> Tensor:
        """z (B, D) float32 on the CPU; (D,) of one image. Raises what `read_pictures` raises."""
        z = self._drawer.encode(self._read(images))
        return z[0] if is_single(images) else z

    def decode(
        self,
        z: Tensor | np.ndarray,
        *,
        x_T: Tensor | np.ndarray | None = None,
        output: str | None = None,
        **drawing: Unpack[DrawingOptions],
    ) -> Any:
        """Draw images from z (B, D) or (D,).

        x_T: what `invert` gave, with the same steps and guidance, in place of random noise; sampling is then deterministic DDIM.
        Raises ValueError for shapes, steps or guidance that do not fit.
        """
        batch, single = read_latents(z, self.latent_dim)
        noise = None if x_T is None else read_noise(x_T, (len(batch), self.form.channels, self.form.size, self.form.size))
        drawn = self._drawer.draw(batch, noise, Sampling(**drawing), exact=x_T is not None)
        return self._give(drawn, output, single=single)

    def reconstruct(
        self,
        images: Images,
        *,
        exact: bool = False,
        output: str | None = None,
        **drawing: Unpack[DrawingOptions],
    ) -> Any:
        """Images drawn again: from z and random noise, or with `exact` from z and the inverted x_T."""
        x_0, sampling = self._read(images), Sampling(**drawing)
        z = self._drawer.encode(x_0)
        x_T = self._drawer.invert(x_0, z, sampling) if exact else None
        return self._give(self._drawer.draw(z, x_T, sampling, exact=exact), output, single=is_single(images))

    def invert(
        self, images: Images, *, z: Tensor | np.ndarray | None = None, steps: int | None = None, guidance: Guidance | None = None
    ) -> Tensor:
        """The x_T (B, C, S, S) from which `decode(z, x_T=x_T)`, with the same steps and guidance, draws these very images.

        z: (B, D) or (D,), by default that of the images. Takes several evaluations a step; the more steps, the more exact.
        """
        x_0 = self._read(images)
        latents = self._drawer.encode(x_0) if z is None else read_latents(z, self.latent_dim)[0]
        x_T = self._drawer.invert(x_0, latents, Sampling(0, steps, guidance))
        return x_T[0] if is_single(images) else x_T

    def interpolate(
        self,
        *images: Any,
        frames: int = 8,
        mode: str = "linear",
        ring: bool = False,
        exact: bool = True,
        output: str | None = None,
        **drawing: Unpack[DrawingOptions],
    ) -> Any:
        """From image to image: `interpolate(a, b)`, or round a ring: `interpolate(a, b, c, ring=True)`.

        frames: from one image to the next. mode: of z, "linear" or "spherical". exact: begin and end at the images
        themselves, the inverted noise turning from one to the other on the sphere; else all frames share one random noise.
        Returns (K - 1) * frames + 1 images; of a ring K * frames, the last leading back to the first.
        """
        x_0 = self._read(images[0] if len(images) == 1 else images)
        sampling, met = Sampling(**drawing), self._drawer.encode(x_0)
        z = interpolate(met, frames, mode=mode, ring=ring)
        if not exact:
            return self._give(self._drawer.draw(z, sampling=sampling, alike=True), output)
        x_T = interpolate(self._drawer.invert(x_0, met, sampling), frames, mode="spherical", ring=ring)
        return self._give(self._drawer.draw(z, x_T, sampling, exact=True), output)

    def mix(
        self,
        style: Images,
        content: Images,
        *,
        cut: int | None = None,
        sections: Sequence[int] | None = None,
        every_cut: bool = False,
        output: str | None = None,
        **drawing: Unpack[DrawingOptions],
    ) -> Any:
        """Sections of z from `style`, the others from `content`, all drawn from the same noise.

        cut: the so many finest come from the style, by default the finer half; sections: or these. Of one style and one content
        one image; of several every pair, a row of styles for each content: (K * S, ...). every_cut: of one style and one
        content all cuts, from nothing to everything of the style: (sections + 1, ...).
        Raises ValueError for a cut or a section that does not exist, and for a model whose latent has no sections.
        """
        if not self.network.denoiser.layer_modulation:
            raise InputError("this model was trained without layer modulation: its latent has no sections to mix")
        styles, contents = self._drawer.encode(self._read(style)), self._drawer.encode(self._read(content))
        z = mixes(styles, contents, self.sections, cut=cut, chosen=sections, every_cut=every_cut)
        drawn = self._drawer.draw(z, sampling=Sampling(**drawing), alike=True)
        return self._give(drawn, output, single=not every_cut and is_single(style) and is_single(content))

    def edit(
        self,
        images: Images,
        amounts: Amounts | Sequence[Amounts],
        *,
        exact: bool = True,
        output: str | None = None,
        **drawing: Unpack[DrawingOptions],
    ) -> Any:
        """Images with z moved along directions: `edit(image, {3: 2.0, "sleeves": -1})`, in sigmas of the data set.

        amounts: of one edit, or of several, which gives a list, for one inversion. exact: from the image's own inverted noise,
        so that an amount of 0 changes nothing; else from random noise. Raises DirectionError for a direction that does not exist,
        or when none have been found yet.
        """
        several = [amounts] if isinstance(amounts, Mapping) else list(amounts)
        if not several:
            raise InputError("there is nothing to edit: no amounts were given")
        directions, sampling, x_0 = self.directions, Sampling(**drawing), self._read(images)
        z = self._drawer.encode(x_0)
        moved = torch.cat([directions.move(z, each) for each in several])
        x_T = self._drawer.invert(x_0, z, sampling) if exact else self._drawer.noise(len(z), sampling.seed)
        drawn = self._drawer.draw(moved, x_T.repeat(len(several), 1, 1, 1), sampling, exact=exact, alike=True)
        given = [self._give(each, output, single=is_single(images)) for each in drawn.split(len(z))]
        return given[0] if isinstance(amounts, Mapping) else given

    def novel_view(
        self,
        views: Images,
        source_poses: Cameras | None,
        target_pose: Cameras,
        *,
        pose_guidance: float = 1.0,
        output: str | None = None,
        **drawing: Unpack[DrawingOptions],
    ) -> Any:
        """The object of `views`, one image or several of it, as `target_pose` sees it: a camera, or one for each image.

        Cameras are `soda.geometry.cameras.camera(pose, focal)`. source_poses: one for each view; None: they are not known.
        Several views are encoded one by one and their latents averaged; all images start from one noise. pose_guidance: weight
        of the camera, as guidance is that of z; at 0 only what guidance above 1 adds still knows it. Raises what `novel_views`
        raises.
        """
        sampling = Sampling(**drawing, pose_guidance=pose_guidance)
        drawn = novel_views(self._drawer, self._read(views), source_poses, target_pose, sampling)
        single = isinstance(target_pose, Camera) or getattr(target_pose, "ndim", 2) == 1
        return self._give(drawn, output, single=single)

    @property
    def directions(self) -> Directions:
        """The directions of this model. Raises DirectionError when none were found yet, or they were found with other weights."""
        if self._directions is None:
            self._directions = directions_of(self.folder, self.latent_dim)
        return self._directions

    def find_directions(
        self,
        images: Images | None = None,
        *,
        z: Tensor | np.ndarray | None = None,
        count: int = 16,
        per_section: int = 6,
        methods: Sequence[str] | None = None,
        shown: int = 6,
        steps: int = 5,
        seed: int = 0,
        save: bool = True,
    ) -> Directions:
        """Find directions in the latents of many images, rank them by how much they change `shown` of these, and keep them.

        images, or their latents z (N, D). methods: some of pca, section, sparse and ica, by default all (section only where
        sections divide z). count: of pca, sparse and ica each; per_section: of every section. They replace earlier ones with
        their names. With `save` they are written beside the model folder. Raises ValueError for fewer than two images, or
        equal ones.
        """
        if (z is None) == (images is None):
            raise InputError("directions are found from images or from their latents z: give one of the two")
        z = self._drawer.encode(self._read(images)) if z is None else read_latents(z, self.latent_dim)[0]  # type: ignore[arg-type]
        settings = {"count": count, "per_section": per_section, "shown": shown, "steps": steps, "seed": seed}
        ranked = discover(self._drawer, z, methods=methods, **settings)
        notes = {"pictures": len(z), "seed": seed, "data_version": model_metadata(self.folder).get("data_version", "")}
        self._directions = Directions(tuple(ranked), weights_sha256(self.folder), notes)
        if save:
            save_directions(directions_file(self.folder), self._directions)
        return self._directions

    def name_direction(self, key: int | str, name: str | None) -> None:
        """Give a direction a name by which it can be used from now on (None takes it away), and keep it beside the model."""
        self.name_directions({key: name})

    def name_directions(self, names: Mapping[int | str, str | None]) -> None:
        """Several at once: all of them, or none when one is not possible (DirectionError)."""
        named = reduce(lambda found, pair: found.named(*pair), names.items(), self.directions)
        save_directions(directions_file(self.folder), named)
        self._directions = named

    def _read(self, images: Images) -> Tensor:
        return read_pictures(images, self.form)

    def _give(self, drawn: Tensor, output: str | None, *, single: bool = False) -> Any:
        return give(drawn, output or self.output, single=single)
