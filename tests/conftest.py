"""Shared fixtures: small, real settings, and one exported workspace for all tests that read it."""

from __future__ import annotations

import os

os.environ.setdefault("DVC_NO_ANALYTICS", "1")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait for others do not take the core from them
if "PYTEST_XDIST_WORKER" in os.environ:  # each has a core; two of two threads each take several times as long
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from soda.config import Config
from tests.support.settings import make_config
from tests.support.workspace import EXPORT, Workspace


@pytest.fixture
def small_config() -> Config:
    return make_config()


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A grey model with directions and all its exported files, 8 bits whatever they cost. Read it, do not change it."""
    config = make_config("dataset.channels=1", "export.int8_max_drop=1", "export.fp16=true", *EXPORT)
    made = Workspace(tmp_path_factory.mktemp("export"), config)
    made.save_directions()
    made.export()
    return made
