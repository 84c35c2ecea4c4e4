"""The data of a run: what passed the gate, its pixels from here or from elsewhere."""

from __future__ import annotations

from pathlib import Path

from soda.config import Config
from soda.data.dataset import PreparedData
from soda.data.gate.verdict import require_verdict
from soda.data.shard_cache import ShardCache


def passed_data(config: Config, prepared: Path, verdict: Path) -> PreparedData:
    """The prepared data, whose manifest and summary the verdict is about.

    With `train.shards` no shard is read here: each is held to the summary when it comes, so that the verdict covers those, too.
    Raises GateError and DatasetError.
    """
    shards = config.train.shards
    require_verdict(prepared, verdict, allow_failure=config.gate.allow_failure, shards_here=not shards.address)
    if not shards.address:
        return PreparedData(prepared)
    return PreparedData(prepared, ShardCache(shards.address, Path(shards.cache), int(shards.gigabytes * 1e9)))
