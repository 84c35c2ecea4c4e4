"""What pyproject.toml cannot say: a wheel brings the files that `soda new` lays out; in a checkout they lie at its root."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
FILES = ("conf", "dvc.yaml", "stage", ".dvcignore", "prefect.yaml", "prefect.toml")  # soda/projects/template.py reads them


class BuildWithProject(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "soda/projects/files"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in FILES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, target / name)
            else:
                shutil.copy(source, target / name)


setup(cmdclass={"build_py": BuildWithProject})
