"""A sample that several runs add to, as those of a service that is started again: a file, and how it is gone on with."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from soda.monitor import MonitorError
from soda.monitor.sample import Sample, read_sample
from soda.monitor.statistics import NAMES

_COUNTABLE = 10**9  # NumPy draws from no larger urn


def earlier_sample(path: Path, encoder: str) -> tuple[Sample | None, str]:
    """What that file has to go on from, or None; and a remark, or "".

    A sample of another encoder, or what is none, is not written over: it is moved aside, and the remark says where.
    """
    if not path.exists():
        return None, ""
    try:
        found = read_sample(path)
        if found.encoder == encoder and found.statistics.shape[1] == len(NAMES):
            return found, ""
        why = f"{path}: a sample of another encoder"
    except MonitorError as error:
        why = str(error)
    return None, f"{why}; it lies in {set_aside(path)} now, and a new one begins"


def set_aside(path: Path) -> Path:
    """Move a sample out of the way, beside it. Returns where it is now."""
    stamp, number = time.strftime("%Y%m%d-%H%M%S", time.gmtime()), 0
    while (aside := path.with_name(f"{path.stem}-aside-{stamp}{f'-{number}' if number else ''}{path.suffix}")).exists():
        number += 1
    return path.rename(aside)


def merged(earlier: Sample | None, later: Sample, size: int) -> Sample:
    """One uniform sample of two streams, of which these are uniform samples by the same encoder: `size` rows at most.

    How many rows come from which is drawn as from an urn with all pictures of both. Images stay where both have them.
    """
    if earlier is None:
        return later
    seen, total = earlier.seen + later.seen, min(size, len(earlier) + len(later))
    random = np.random.default_rng(seen)
    scale = max(1, -(-seen // _COUNTABLE))
    first = int(random.hypergeometric(earlier.seen // scale, later.seen // scale, min(total, seen // scale)))
    first = min(max(first, total - len(later)), len(earlier))
    drawn = [
        part.rows(np.sort(random.permutation(len(part))[:count])) for part, count in ((earlier, first), (later, total - first))
    ]
    joined = {name: np.concatenate([getattr(part, name) for part in drawn]) for name in ("z", "statistics", "labels", "files")}
    pictured = all(len(part.images) or not len(part) for part in drawn)
    images = np.concatenate([part.images for part in drawn if len(part)]) if pictured else later.images[:0]
    return Sample(encoder=later.encoder, seen=seen, images=images, **joined)
