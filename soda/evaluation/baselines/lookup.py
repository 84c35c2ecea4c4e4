"""What answers for a novel view without drawing: copies of sources, the mean of all training objects, the one nearest in z."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from soda.common.images import to_float
from soda.data.dataset import Split
from soda.evaluation.novel_tasks import Tasks, Views, angles_between
from soda.inference.drawer import Drawer


def lookups(encode: Drawer, views: Views, nearest: np.ndarray, tasks: Tasks, counts: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Of each baseline its answers to all tasks, (T, S, S, C) uint8.

    nearest: (T, O), of each training object the view that is nearest to the target's camera. counts: of the sources, of which
    the nearest to the target is copied.
    """
    split, train = tasks.split, views.split
    bank = _latents(encode, train, views.positions)
    queries = _latents(encode, split, tasks.sources[:, 0])
    centre, spread = bank.mean(0), bank.std(0).clamp(min=1e-6)
    bank, queries = (torch.nn.functional.normalize((each - centre) / spread) for each in (bank, queries))
    alike = views.objects[(queries @ bank.T).argmax(1).numpy()]
    found = {
        "mean_view": np.stack([train.gather(row).mean(0).round().astype(np.uint8) for row in nearest]),
        "nearest_object": train.gather(nearest[np.arange(len(tasks)), alike]),
        "copy": split.gather(tasks.sources[:, 0]),
    }
    for count in counts[1:]:
        angles = angles_between(split.cameras[tasks.sources[:, :count]], split.cameras[tasks.targets][:, None])
        found[f"copy_nearest_of_{count}"] = split.gather(tasks.sources[np.arange(len(tasks)), angles.argmin(1)])
    return found


def _latents(encode: Drawer, split: Split, positions: np.ndarray) -> Tensor:
    """z with the cameras known, (n, D)."""
    blocks = [positions[i : i + 500] for i in range(0, len(positions), 500)]
    return torch.cat([encode.encode(to_float(split.gather(b)), torch.from_numpy(split.cameras[b])) for b in blocks])
