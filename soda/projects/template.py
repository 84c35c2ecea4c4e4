"""The files that a project begins with: conf/, the stages and the deployments, as the installed package has them.

In a wheel they lie in soda/projects/files (setup.py puts them there), in a checkout at its root.
"""

from __future__ import annotations

import re
from pathlib import Path

from soda.projects import ProjectError

SINGLE = ("dvc.yaml", "stage", ".dvcignore", "prefect.yaml", "prefect.toml")
FOLDER = "conf"

GITIGNORE = """\
.venv/
__pycache__/
.prefect/
/runs/
# Releases and the key that signs them; samples of what was served
/releases/
/.release/
/drift/
# What DVC keeps; reports/*.json are kept by git
/data/
/models/
/reports/live/
/reports/figures/
/reports/data_docs/
/reports/index.html
/reports/.*
/.code/
/.dvc/tmp/
/.dvc/cache/
/.dvc/config.local
"""

DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
    autostage = false
[hydra]
    enabled = true
    config_dir = conf
    config_name = config
"""

DVC_IGNORED = """\
/config.local
/tmp
/cache
"""

README = """\
# {name}

A project of SODA: raw pictures to `models/encoder.onnx` and `reports/index.html`.

```sh
soda run                                  # all stages; again: only what changed
soda run train=long model.latent_dim=512  # with other settings
soda compose dataset.image_size=64        # write params.yaml, run nothing
dvc repro                                 # the same stages without Prefect
dvc remote add -d store /mnt/models       # a folder, or s3://bucket/path; then:
dvc push                                  # data and models go there; dvc pull brings them back
```

Settings stand in `params.yaml`, what they can be in `conf/`; an experiment of your own is a file in `conf/experiment/`.
Git keeps settings and figures, DVC data and models. `soda run` brings `conf/` and the stages up to the installed package
first, and leaves files that you changed as they are.

Deployments: `python -m flows.server start` serves Prefect, prefect.yaml describes them.
"""


def template_files() -> dict[str, bytes]:
    """Each file of a new project by its place, "/" between the parts. Raises ProjectError where the package came without them."""
    root = _root()
    paths = [*(root / name for name in SINGLE), *sorted((root / FOLDER).rglob("*.yaml"))]
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    found["dvc.yaml"] = _without_zoo(found["dvc.yaml"].decode()).encode()
    found["prefect.yaml"] = re.sub(
        r"entrypoint: flows/(\w+)\.py:", r"entrypoint: flows.\1:", found["prefect.yaml"].decode()
    ).encode()
    return found


def _root() -> Path:
    here = Path(__file__).parent
    for root in (here / "files", here.parents[1]):
        if all((root / name).is_file() for name in SINGLE) and (root / FOLDER / "config.yaml").is_file():
            return root
    raise ProjectError(f"{here}: the package was installed without the files of a project; install a wheel of `make dist`")


def _without_zoo(text: str) -> str:
    """The shipped models are the repository's, not a project's."""
    return re.sub(r"  zoo-[\w-]+:\n(?:    .*\n)+", "", text)
