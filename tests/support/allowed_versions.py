"""`make test-oldest`: the runtime's tests with the oldest and with the newest base install that pyproject.toml allows, and a flow
by the oldest and the newest Prefect beside the oldest and the newest FastAPI.

Each environment is made once, in .venv-oldest, .venv-newest, .venv-oldest-flows and .venv-newest-flows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ("test_preprocess", "test_png", "test_jpeg", "test_tiff", "test_colour", "test_memory", "test_walk", "test_shipped")
"""Of tests/runtime: those that need no more than the base install."""


def oldest(requirement: str) -> str:
    """ "pillow>=11" and "onnxruntime>=1.20,<1.29" as "pillow==11.0" and "onnxruntime==1.20.0"; the lower bound must be there."""
    name, bound = re.match(r"([\w.-]+)>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
    return f"{name}=={bound}"


FLOW = """
from prefect import flow

@flow
def half(number: int) -> float:
    return number / 2

print("a flow with a server of its own:", half(3))
"""


def environment(name: str, requirements: list[str]) -> Path:
    """The Python of `.venv-<name>`, which has these; prints their versions."""
    folder = ROOT / f".venv-{name}"
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--upgrade", *requirements], check=True)
    frozen = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    named = {re.split(r"[^\w.-]", each)[0] for each in requirements} - {"pytest", "pytest-timeout"}
    print(f"{name}: {', '.join(line for line in frozen.split() if line.split('==')[0].lower() in named)}", flush=True)
    return python


def main(wanted: list[str]) -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    flows = [each for each in project["optional-dependencies"]["pipeline"] if each.startswith(("fastapi", "prefect"))]
    failed = 0
    for which in wanted or ("oldest", "newest"):
        base, beside = project["dependencies"], flows
        if which == "oldest":
            base, beside = [oldest(each) for each in base], [oldest(each) for each in beside]
        python = environment(which, [*base, "pytest", "pytest-timeout"])
        tests = [f"tests/runtime/{name}.py" for name in TESTS]
        command = [python, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", *tests]
        failed |= subprocess.run(command, cwd=ROOT, check=False).returncode
        with tempfile.TemporaryDirectory() as home:
            alone = {**os.environ, "PREFECT_HOME": home, "PREFECT_LOGGING_LEVEL": "ERROR", "NO_PROXY": "127.0.0.1"}
            command = [environment(f"{which}-flows", beside), "-c", FLOW]
            failed |= subprocess.run(command, cwd=home, env=alone, timeout=300, check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
