"""One exported workspace for all tests that read it."""

from __future__ import annotations

import pytest

from tests.conftest import make_config
from tests.unit.workspace import Workspace

EXPORT = ("export.parity_images=24", "export.decoder_images=6", "export.calibration_images=32", "export.probe_images=60")


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A grey model with directions and all its exported files, 8 bits whatever they cost. Read it, do not change it."""
    config = make_config("dataset.channels=1", "export.int8_max_drop=1", "export.fp16=true", *EXPORT)
    made = Workspace(tmp_path_factory.mktemp("export"), config)
    made.save_directions()
    made.export()
    return made
