"""`make test-oldest`: the runtime's tests with the oldest and with the newest base install that pyproject.toml allows.

Each environment is made once, in .venv-oldest and .venv-newest, and holds pytest besides.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ("test_preprocess", "test_png", "test_jpeg", "test_tiff", "test_colour", "test_memory", "test_walk", "test_shipped")
"""Of tests/runtime: those that need no more than the base install."""


def oldest(requirement: str) -> str:
    """ "pillow>=11" and "onnxruntime>=1.20,<1.29" as "pillow==11.0" and "onnxruntime==1.20.0"; the lower bound must be there."""
    name, bound = re.match(r"([\w.-]+)>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
    return f"{name}=={bound}"


def main(wanted: list[str]) -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = {"oldest": [oldest(each) for each in project["dependencies"]], "newest": project["dependencies"]}
    failed = 0
    for which in wanted or list(requirements):
        folder = ROOT / f".venv-{which}"
        python = folder / "bin/python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--upgrade"]
        subprocess.run([*pip, *requirements[which], "pytest", "pytest-timeout"], check=True)
        frozen = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
        versions = [line for line in frozen.split() if line.startswith(("numpy=", "onnxruntime=", "pillow="))]
        print(f"{which}: {', '.join(versions)}", flush=True)
        tests = [f"tests/runtime/{name}.py" for name in TESTS]
        command = [python, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", *tests]
        failed |= subprocess.run(command, cwd=ROOT, check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
