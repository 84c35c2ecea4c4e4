"""Which entries of a schedule's table to sample at."""

from __future__ import annotations

import numpy as np

from soda.common.checks import one_of, whole_number

SPACINGS = ("logsnr", "t")


def sampling_times(alphas_cumprod: np.ndarray, steps: int, spacing: str = "logsnr") -> list[int]:
    """`steps + 1` indices into alphas_cumprod (T + 1,), strictly falling from T to 0.

    spacing: "logsnr" puts the noisy ones evenly in log-SNR, which a schedule that falls steeply at its ends needs; "t" evenly
    in t. Raises ValueError for another spacing and for steps outside 1 .. T.
    """
    T = len(alphas_cumprod) - 1
    whole_number("steps", steps, 1, T)
    one_of("spacing", spacing, SPACINGS)
    if spacing == "t":
        places, step = np.arange(steps), -T / steps
        wanted = np.where(places < (steps + 1) // 2, T + step * places, -step * (steps - places))  # as torch.linspace rounds
    else:
        # From the last entry but one: a schedule may fall off a cliff to its last, and steps placed inside it are wasted.
        noisy = np.asarray(alphas_cumprod, np.float64)[1:]
        logsnr = np.log(noisy) - np.log1p(-noisy)
        targets = np.linspace(logsnr[-2], logsnr[0], steps)[:-1]
        nearest = np.minimum(np.searchsorted(-logsnr, -targets), T - 1)
        wanted = np.concatenate([[T], nearest + 1])[:steps]
    times = [int(i) for i in np.round(wanted)]
    times[0] = T
    # Where the table is too coarse for the wanted spacing, neighbours take the next free entry on either side.
    for k in range(1, steps):
        times[k] = min(times[k], times[k - 1] - 1)
    for k in range(steps - 1, 0, -1):
        times[k] = max(times[k], steps - k)
    return [*times, 0]
