"""Objects seen by cameras: a manifest of views, and the plan of a set that is rendered."""

from __future__ import annotations

import numpy as np
import pandas as pd
import yaml

from soda.geometry.cameras import COLUMNS, camera, focal_length, orbit
from tests.support.settings import ROOT

FOCAL = focal_length(45)
VIEWS, OBJECTS = 8, 15  # 9 of train, 3 of val, 3 of test
PLAN = {
    **yaml.safe_load((ROOT / "conf/dataset/objects/random.yaml").read_text()),
    "objects": 12,
    "views": 6,
    "variants": 2,
    "variant_views": 3,
}


def places(count: int) -> np.ndarray:
    """Cameras all round the object: (count, 16)."""
    generator = np.random.default_rng(3)
    return np.array([camera(orbit(*generator.uniform((-180, 5), (180, 80)), 2.8), FOCAL).numbers for _ in range(count)])


def of_objects(manifest: pd.DataFrame) -> pd.DataFrame:
    """VIEWS pictures of each object; every training model has a variant of itself: an object of its own."""
    number = np.arange(len(manifest)) // VIEWS
    manifest["factor.object"] = [f"o{n // 2:02d}{'~1' if n % 2 else ''}" if n < 8 else f"o{n:02d}" for n in number]
    manifest["factor.model"] = manifest["factor.object"].str.slice(0, 3)
    return manifest.assign(**dict(zip(COLUMNS, places(len(manifest)).T, strict=True)))
