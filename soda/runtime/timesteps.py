"""Which entries of a schedule's table to sample at, without torch: `soda.diffusion.schedule` says why."""

from __future__ import annotations

import numpy as np

from soda.common.checks import whole_number
from soda.common.errors import InputError

SPACINGS = ("logsnr", "t")


def sampling_times(alphas_cumprod: np.ndarray, steps: int, spacing: str = "logsnr") -> list[int]:
    """`steps + 1` indices into alphas_cumprod (T + 1,), strictly falling from T to 0, as `Schedule.sampling_times` has them.

    Raises ValueError for a spacing that does not exist and for steps outside 1 .. T.
    """
    T = len(alphas_cumprod) - 1
    whole_number("steps", steps, 1, T)
    if spacing == "t":
        wanted = np.linspace(T, 0, steps + 1)[:-1]
    elif spacing == "logsnr":
        noisy = np.asarray(alphas_cumprod, np.float64)[1:]
        logsnr = np.log(noisy) - np.log1p(-noisy)
        targets = np.linspace(logsnr[-2], logsnr[0], steps)[:-1]
        nearest = np.minimum(np.searchsorted(-logsnr, -targets), T - 1)
        wanted = np.concatenate([[T], nearest + 1])[:steps]
    else:
        raise InputError(f"spacing: {spacing!r} is not possible; it wants one of {', '.join(SPACINGS)}")
    times = [int(i) for i in np.round(wanted)]
    times[0] = T
    for k in range(1, steps):
        times[k] = min(times[k], times[k - 1] - 1)
    for k in range(steps - 1, 0, -1):
        times[k] = max(times[k], steps - k)
    return [*times, 0]
