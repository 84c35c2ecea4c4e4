"""Images as bytes and as what networks take."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_float(batch: np.ndarray) -> Tensor:
    """uint8 (B, S, S, C) -> float32 (B, C, S, S) in [-1, 1]; the result is channels_last without a copy."""
    return torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_uint8(images: Tensor) -> np.ndarray:
    """(B, C, S, S) in [-1, 1] -> uint8 (B, S, S, C), clamped (a cast alone would wrap) and rounded."""
    scaled = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
