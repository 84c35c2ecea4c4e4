"""The graph of encoder.onnx as a torch module: uint8 pictures of any size in, z and features out, with the preprocessing inside.

The resize reproduces Pillow's bit for bit (Pillow, src/libImaging/Resample.c): a triangle filter in fixed point, along the
width and then along the height, rounded after each. So z is the same whether Pillow or the graph resizes. It is written as two
matrix products with weights computed from the size: ONNX's antialiased `Resize` rounds otherwise, and fewer runtimes have it.
One exception: when pictures much taller than wide are stretched, newer Pillow takes the height first; the two then differ by
at most one grey level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soda.model.encoder import encode_with_features
from soda.runtime.metadata import OUTPUT, OUTPUTS

FIXED_POINT = float(1 << 22)
"""One, in the fixed point of Pillow's filter weights for 8-bit pictures (PRECISION_BITS)."""

LUMA = (19595.0, 38470.0, 7471.0)
"""ITU-R BT.601 weights of red, green and blue in units of 1/65536, as Pillow has them. Their sums are exact in float32."""


class DeployedEncoder(nn.Module):
    """Preprocessing and encoder in one.

    encoder: (N, C, S, S) in [-1, 1] -> (N, D), in eval mode. resize: "crop" takes the centre square first, "stretch" the whole
    picture. features: give what the encoder's last layer makes z of, too; it must be one of `soda.model.encoder` then.
    """

    luma: Tensor

    def __init__(self, encoder: nn.Module, *, image_size: int, channels: int, resize: str, features: bool = False) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise ValueError(f"channels: {channels!r} is not possible; must be 1 or 3")
        if resize not in ("crop", "stretch"):
            raise ValueError(f"resize: {resize!r} is not possible; must be crop or stretch")
        self.encoder, self.features = encoder, features
        self.image_size, self.channels, self.resize = image_size, channels, resize
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """images: (N, H, W, 3) uint8 RGB -> z: (N, D); with `features` z and they, (N, F)."""
        squares = self.pixels(images) / 127.5 - 1
        return encode_with_features(self.encoder, squares) if self.features else self.encoder(squares)

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """What `forward` gives, by the names of the exported graph's outputs."""
        found = self(images)
        return dict(zip(OUTPUTS, found, strict=True)) if self.features else {OUTPUT: found}

    def pixels(self, images: Tensor) -> Tensor:
        """What `soda.runtime.preprocess.to_square` gives: (N, H, W, 3) uint8 -> (N, C, S, S) float32, whole, from 0 to 255."""
        height, width = (torch.full((), side, dtype=torch.float64) for side in images.shape[1:3])
        square = torch.minimum(height, width)
        tall, wide = (square, square) if self.resize == "crop" else (height, width)
        top, left = torch.floor((height - tall) / 2), torch.floor((width - wide) / 2)
        rows = _fixed_point(_weights(images.shape[1], top, tall, self.image_size))  # (S, H)
        # Turned before it is rounded: a Transpose right before a MatMul of float64 is fused by onnxruntime into an operator for
        # which it has a kernel from 1.26 on only.
        columns = _fixed_point(_weights(images.shape[2], left, wide, self.image_size).T)  # (W, S)
        x = images.permute(0, 3, 1, 2).double()  # (N, 3, H, W)
        x = _round(x @ columns)  # (N, 3, H, S)
        x = _round(rows @ x).float()  # (N, 3, S, S)
        if self.channels == 1:
            x = torch.floor((x * self.luma).sum(1, keepdim=True) / 65536 + 0.5)
        return x


def _weights(length: int, start: Tensor, extent: Tensor, size: int) -> Tensor:
    """Weights that resize `extent` of `length` pixels, from pixel `start` on, to `size`: (size, length), each row of sum 1.

    float64 as in Pillow, whose rounding float32 would miss.
    """
    scale = extent / size
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) * scale  # in pixels from `start`
    positions = torch.arange(length, dtype=torch.float64) - start
    reach = 1.0 / torch.clamp(scale, min=1.0)  # when it shrinks, the filter widens: the antialiasing
    weights = torch.clamp(1.0 - torch.abs((positions[None] - centres[:, None] + 0.5) * reach), min=0.0)
    weights = weights * ((positions >= 0) & (positions < extent))[None]
    return weights * (1.0 / weights.sum(1, keepdim=True))


def _fixed_point(weights: Tensor) -> Tensor:
    """Weights in units of 1/2^22, whole."""
    return torch.floor(weights * FIXED_POINT + 0.5)


def _round(x: Tensor) -> Tensor:
    return torch.floor((x + FIXED_POINT / 2) / FIXED_POINT)
