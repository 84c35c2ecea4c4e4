"""What `make setup` installs here, each file with its SHA-256, for `pip install --require-hashes -r FILE`.

python deploy/hashes.py            write deploy/requirements-SYSTEM-MACHINE-pyVERSION.txt anew
python deploy/hashes.py --check    fail where one names other versions than constraints.txt

pip itself resolves the packages and says the hashes, without installing; what it chooses depends on the system and the Python,
and so the file is of both. It asks the package index for metadata alone, and takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "soda-encoder"


def place() -> Path:
    """The file of this system and this Python."""
    system, machine = platform.system().lower(), platform.machine()
    return ROOT / f"deploy/requirements-{system}-{machine}-py{sys.version_info.major}{sys.version_info.minor}.txt"


def resolved() -> dict[str, Any]:
    """pip's report on what it would install into an empty environment."""
    asked = ["--dry-run", "--ignore-installed", "--quiet", "-c", str(ROOT / "constraints.txt"), f"{ROOT}[all]"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run([sys.executable, "-m", "pip", "install", "--report", str(report), *asked], check=True)
        return dict(json.loads(report.read_text(encoding="utf-8")))


def listed(report: dict[str, Any]) -> str:
    """The file's text. Raises SystemExit naming a package whose file has no hash, or that constraints.txt does not have so."""
    lines, pinned = [], constraints()
    for each in report["install"]:
        name, version = canonical(each["metadata"]["name"]), each["metadata"]["version"]
        if name == PROJECT:
            continue
        digest = each["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if not digest:
            sys.exit(f"{name} {version}: pip says no SHA-256 of it")
        if version not in pinned.get(name, [version]):
            sys.exit(f"{name}: pip would install {version}, constraints.txt has {' or '.join(pinned[name])}")
        lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    about = (
        "# Made by deploy/hashes.py of constraints.txt, for this system and Python alone. The project: pip install --no-deps .\n"
    )
    return about + "".join(sorted(lines))


def canonical(name: str) -> str:
    """A package's name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> dict[str, list[str]]:
    """Package -> its versions in constraints.txt: some have another one on another machine."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, equals, version = line.partition(";")[0].partition("==")
        if equals and not line.startswith("#"):
            found.setdefault(canonical(name.strip()), []).append(version.strip())
    return found


def differing(text: str) -> list[str]:
    """Packages that the file has in another version than constraints.txt."""
    pinned, wrong = constraints(), []
    for line in text.splitlines():
        name, equals, version = line.partition(" --hash=")[0].partition("==")
        if equals and version not in pinned.get(name, [version]):
            wrong.append(f"{name} {version}, but {' or '.join(pinned[name])} in constraints.txt")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="hold the files to constraints.txt; asks no index")
    parser.add_argument("--report", type=Path, help="pip's report, where there is one already")
    given = parser.parse_args()
    if given.check:
        found = {path: differing(path.read_text(encoding="utf-8")) for path in sorted(ROOT.glob("deploy/requirements-*.txt"))}
        wrong = [f"{path}: made of other constraints: {'; '.join(lines)}; make hashes" for path, lines in found.items() if lines]
        sys.exit("\n".join(wrong) or 0)
    text = listed(json.loads(given.report.read_text(encoding="utf-8")) if given.report else resolved())
    place().write_text(text, encoding="utf-8")
    sys.stdout.write(f"{place()}: {text.count('--hash')} packages\n")


if __name__ == "__main__":
    main()
