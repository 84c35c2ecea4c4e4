"""Is the pose in z? A linear reading of the azimuth from the latents of unposed views."""

from __future__ import annotations

import torch
from torch import Tensor

from soda.geometry.cameras import COLUMNS

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of ridge regression on standardised z, a share of the number of pictures; chosen on validation."""
CHANCE = 90.0  # degrees


def azimuths(cameras: Tensor) -> Tensor:
    """Of the places of cameras (n, 16), from +x towards +y: (n,) radians."""
    x, y = (cameras[:, COLUMNS.index(f"camera.place{axis}")] for axis in (0, 1))
    return torch.atan2(y, x)


def azimuth_error(z: dict[str, Tensor], cameras: dict[str, Tensor]) -> float:
    """Median error, in degrees, on test of the azimuth that ridge regression to its cosine and sine reads off z; CHANCE is 90.

    z: "train", "val" and "test" -> (n, D); cameras: of the same pictures, (n, 16).
    """
    mean, spread = z["train"].double().mean(0), z["train"].double().std(0).clamp(min=1e-6)
    x = {name: torch.nn.functional.pad((each.double() - mean) / spread, (0, 1), value=1.0) for name, each in z.items()}
    angle = {name: azimuths(each.double()) for name, each in cameras.items()}
    wanted = torch.stack((angle["train"].cos(), angle["train"].sin()), 1)
    gram, moment = x["train"].T @ x["train"], x["train"].T @ wanted
    eye = torch.eye(len(gram), dtype=gram.dtype)

    def error(weights: Tensor, split: str) -> float:
        cosine, sine = (x[split] @ weights).unbind(1)
        off = torch.atan2(sine, cosine) - angle[split]
        return float(torch.rad2deg(torch.atan2(off.sin(), off.cos()).abs()).median())

    fits = [torch.linalg.solve(gram + penalty * len(x["train"]) * eye, moment) for penalty in PENALTIES]
    judged_on = "val" if len(x["val"]) else "train"
    return error(min(fits, key=lambda weights: error(weights, judged_on)), "test")
