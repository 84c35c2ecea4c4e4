"""The progress bar says the time left in words."""

from __future__ import annotations

import io

import pytest

from soda.common.bar import Bar, time_left


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "less than a minute left"), (29, "less than a minute left"), (95, "2 min left"), (4800, "1 h 20 min left")],
)
def test_time_left(seconds: float, said: str) -> None:
    assert time_left(seconds) == said


def test_a_bar_tells_the_minutes() -> None:
    screen = io.StringIO()
    with Bar(total=1000, desc="prepare", unit="picture", file=screen, mininterval=0, initial=100) as bar:
        bar.start_t -= 60  # as if it had begun a minute ago
        bar.last_print_t -= 60
        bar.update(300)
    assert "400 of 1000" in screen.getvalue() and "2 min left" in screen.getvalue()
