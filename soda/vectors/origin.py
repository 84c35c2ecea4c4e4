"""Where a table's latents came from, and so how they are to be compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soda.common.errors import InputError
from soda.runtime import Encoder
from soda.runtime.metadata import OUTPUT, are_numbers
from soda.runtime.onnx_encoder import NORMALIZATIONS


@dataclass(frozen=True)
class Origin:
    """Where vectors came from. normalize: how they are normalised already (None, "stats", "l2" or "stats+l2"); latent_dim: how
    many numbers each has; vectors: the output of the encoder that they are, "z" in tables from before there was a choice."""

    folder: str
    encoder_sha256: str
    latent_dim: int
    normalize: str | None
    z_mean: list[float]
    z_std: list[float]
    vectors: str = OUTPUT

    @classmethod
    def of(cls, encoder: Encoder, folder: Path, normalize: str | None) -> Origin:
        """Of the pictures in `folder` as `encoder` sees them."""
        stamp = str(encoder.metadata.get("sha256") or hashlib.sha256(encoder.path.read_bytes()).hexdigest())
        statistics = encoder.mean.tolist(), encoder.std.tolist()
        return cls(str(folder.resolve()), stamp, encoder.width, normalize, *statistics, encoder.output)

    def check(self) -> None:
        """Raise ValueError, naming the key, for values that `of` does not make."""
        if not isinstance(self.latent_dim, int) or isinstance(self.latent_dim, bool) or self.latent_dim < 1:
            raise InputError(f"latent_dim is {self.latent_dim!r}, not a whole number from 1 up")
        if self.normalize not in NORMALIZATIONS:
            raise InputError(f"normalize is {self.normalize!r}, not one of {', '.join(map(str, NORMALIZATIONS))}")
        for key in ("folder", "encoder_sha256", "vectors"):
            if not isinstance(getattr(self, key), str):
                raise InputError(f"{key} is {getattr(self, key)!r}, not text")
        if not are_numbers(self.z_mean, self.latent_dim):
            raise InputError(f"z_mean is not a list of {self.latent_dim} finite numbers")
        if not are_numbers(self.z_std, self.latent_dim, positive=True):
            raise InputError(f"z_std is not a list of {self.latent_dim} numbers above 0")

    def comparable(self, z: np.ndarray) -> np.ndarray:
        """Latents (n, D) as neighbours are looked for: standardised (unless they were only brought to length 1), of length 1.

        Of values so large that they cannot be latents, NaN.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            if self.normalize is None:
                z = (z - np.asarray(self.z_mean, np.float32)) / np.asarray(self.z_std, np.float32)
            if self.normalize in (None, "stats"):
                lengths = np.linalg.norm(z, axis=1, keepdims=True)
                z = np.where(np.isfinite(lengths), z / np.maximum(lengths, np.finfo(np.float32).tiny), np.nan)
        return z.astype(np.float32, copy=False)
