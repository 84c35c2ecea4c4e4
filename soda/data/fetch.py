"""The fetch stage: raw data onto this machine, checked."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from soda.common.files import whole_folder
from soda.config import DatasetConfig
from soda.data.sources import get_source

logger = logging.getLogger(__name__)


def fetch(config: DatasetConfig, raw: Path) -> dict[str, Any]:
    """Fill the folder `raw` with what `prepare` reads and return counts worth printing.

    Raises SourceError (or OSError, e.g. on a full disk) and then leaves an earlier `raw` as it was.
    """
    with whole_folder(Path(raw)) as new:
        metrics = get_source(config.name).fetch(config, new, Path(raw))
    logger.info("fetched %s: %s", config.name, ", ".join(f"{key} {value}" for key, value in metrics.items()))
    return metrics
