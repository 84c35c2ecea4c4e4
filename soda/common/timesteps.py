"""Which entries of a schedule's table to sample at: one definition for the torch package, the runtime and the browser page."""

from __future__ import annotations

import numpy as np

from soda.common.checks import one_of, whole_number

SPACINGS = ("logsnr", "t")

FLOOR_WIDTH = 1e-2
"""Log-SNR. Entries no further than this above the last one are as noisy as it is to all that sees them: they lie on its floor."""


def first_on_floor(alphas_cumprod: np.ndarray) -> int:
    """The least noisy entry of the table (T + 1,) that is as noisy as the last, and so on its floor: T where none but it is."""
    logsnr = _logsnr(alphas_cumprod)
    return 1 + int(np.searchsorted(-logsnr, -(logsnr[-1] + FLOOR_WIDTH)))


def sampling_times(alphas_cumprod: np.ndarray, steps: int, spacing: str = "logsnr") -> list[int]:
    """`steps + 1` indices into alphas_cumprod (T + 1,), strictly falling from T to 0.

    spacing: "logsnr" puts the noisy ones evenly in log-SNR, which a schedule that falls steeply at its ends needs; "t" evenly
    in t. Of the entries on the floor T alone is visited, as long as there are others: a step from one to another removes no noise
    and costs an evaluation. Raises ValueError for another spacing and for steps outside 1 .. T.
    """
    T = len(alphas_cumprod) - 1
    whole_number("steps", steps, 1, T)
    one_of("spacing", spacing, SPACINGS)
    if spacing == "t":
        places, step = np.arange(steps), -T / steps
        wanted = np.where(places < (steps + 1) // 2, T + step * places, -step * (steps - places))  # as torch.linspace rounds
    else:
        logsnr = _logsnr(alphas_cumprod)
        if first_on_floor(alphas_cumprod) < T:
            targets = np.linspace(logsnr[-1], logsnr[0], steps + 1)[1:-1]
        else:  # from the last entry but one: the table falls off a cliff to its last, and steps placed inside it are wasted
            targets = np.linspace(logsnr[-2], logsnr[0], steps)[:-1]
        nearest = np.minimum(np.searchsorted(-logsnr, -targets), T - 1)
        wanted = np.concatenate([[T], nearest + 1])
    times = [int(i) for i in np.round(wanted)]
    times[0] = T
    noisiest = max(first_on_floor(alphas_cumprod) - 1, steps - 1)  # to visit after T
    # Where the table is too coarse for the wanted spacing, neighbours take the next free entry on either side.
    for k in range(1, steps):
        times[k] = min(times[k], times[k - 1] - 1, noisiest)
    for k in range(steps - 1, 0, -1):
        times[k] = max(times[k], steps - k)
    return [*times, 0]


def _logsnr(alphas_cumprod: np.ndarray) -> np.ndarray:
    """Of the entries 1 .. T, falling: (T,). That of entry 0, the clean image, is infinite."""
    noisy = np.asarray(alphas_cumprod, np.float64)[1:]
    return np.log(noisy) - np.log1p(-noisy)
