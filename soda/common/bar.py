"""The progress bar of long work: how far it is, how fast it goes, and how long it will still take, in words."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

_FORM = "{desc}: {percentage:3.0f} % |{bar:20}| {n_fmt} of {total_fmt}, {rate_fmt}{postfix}, {left}"


def time_left(seconds: float) -> str:
    """A time to go as people say it: "1 h 20 min left"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute left"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min left" if hours else f"{minutes} min left"


class Bar(tqdm):  # type: ignore[type-arg]
    """tqdm's bar with the time left; takes what tqdm takes, `total` among it."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"bar_format": _FORM, **settings})

    @property
    def format_dict(self) -> dict[str, Any]:
        """tqdm's values and `left`, for the form."""
        values: dict[str, Any] = super().format_dict
        done, total, elapsed = values["n"] - values["initial"], values["total"], values["elapsed"]
        rate = values["rate"] or (done / elapsed if elapsed else 0)
        left = time_left((total - values["n"]) / rate) if rate and total else "time left not known yet"
        return {**values, "left": left}
