"""Shared fixtures: small, real settings, and one exported workspace for all tests that read it."""

from __future__ import annotations

import os

os.environ.setdefault("DVC_NO_ANALYTICS", "1")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

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
