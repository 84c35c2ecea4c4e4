"""One encoder, one service and the same pictures for all tests here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from soda.runtime import Encoder
from tests.apps.running import ENCODER, Running, serve


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder(ENCODER, threads=1)


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    """uint8 pictures of a shape, always the same."""
    return lambda *shape, seed=0: np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="session")
def service() -> Iterator[Running]:
    """One service for all tests that only ask; a fast clock, so that the slow ones can be shown."""
    limits = ("--header-timeout", "1", "--body-timeout", "2", "--max-connections", "100", "--max-pictures", "128")
    with serve(*limits) as running:
        yield running
