"""The fingerprint of code: it changes with what decides a result, and with nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from soda.common.fingerprint import DATA_SUFFIXES, ROOT, code_fingerprint, code_modules
from soda.stages import STAGES


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("code")
    shutil.copytree(ROOT / "soda", root / "soda", ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def edited(copied: Path) -> Callable[[str, Callable[[str], str]], set[str]]:
    """Edits a file of a copy of soda/, and puts it back: which stages' fingerprints change."""

    def edit(name: str, change: Callable[[str], str]) -> set[str]:
        file = copied / name
        before, there = prints(copied), file.exists()
        text = file.read_text() if there else ""
        try:
            assert change(text) != text
            file.write_text(change(text))
            after = prints(copied)
        finally:
            file.write_text(text) if there else file.unlink()
        return {stage for stage in STAGES if before[stage] != after[stage]}

    return edit


def prints(root: Path) -> dict[str, str]:
    return {name: code_fingerprint(stage.module, root=root) for name, stage in STAGES.items()}


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("soda/geometry/rays.py", {"train", "evaluate", "export", "report"}),
        ("soda/data/prepare.py", {"prepare"}),
        ("soda/data/gate/data_docs.css", {"validate"}),
        ("soda/report/templates/page.html.j2", {"report"}),
        ("soda/training/loop.py", {"train"}),
        ("soda/serve/app.py", set()),
        ("soda/vectors/store.py", set()),
        ("soda/common/files.py", set()),
        ("soda/layout.py", set()),
    ],
)
def test_a_change_is_seen_by_the_stages_that_run_the_code(
    edited: Callable[[str, Callable[[str], str]], set[str]], file: str, stages: set[str]
) -> None:
    assert edited(file, lambda text: text + "\nA_NEW_CONSTANT = 1\n") == stages


def test_comments_docstrings_layout_and_type_checkers_imports_change_nothing(
    edited: Callable[[str, Callable[[str], str]], set[str]],
) -> None:
    def reword(text: str) -> str:
        text = re.sub(r'^( *)"""[^"]*"""$', r'\1"""Other words."""', text, flags=re.MULTILINE)
        text = text.replace("\n\n\n", "\n\n# a remark\n\n\n\n")
        return text + "\nif TYPE_CHECKING:\n    from soda.report.stage import report\n\n'''A text that stands alone.'''\n"

    assert edited("soda/training/step.py", reword) == set()


def test_what_settings_compute_is_code_and_their_names_and_checks_are_not(
    edited: Callable[[str, Callable[[str], str]], set[str]], copied: Path
) -> None:
    schema = next(file for file in copied.rglob("soda/**/*.py") if "def downscale(self)" in file.read_text())
    name = str(schema.relative_to(copied))
    assert "train" in edited(name, lambda text: text.replace("return self.patch_size * 2", "return self.patch_size * 4"))
    assert edited(name, lambda text: text + "\nAnother: int = 1\n") == set()


def test_an_import_anywhere_brings_a_module_in(edited: Callable[[str, Callable[[str], str]], set[str]], copied: Path) -> None:
    for line in ("from soda.vectors import job", "import soda.vectors.job", "from soda.vectors.job import embed_folder"):
        lazily = f"\n\ndef later() -> None:\n    {line}\n"
        (copied / "soda/late.py").write_text(lazily)
        assert "soda.vectors.job" in code_modules("soda.late", root=copied)
    (copied / "soda/vectors/near.py").write_text("from .job import a\nfrom . import store\nfrom ..viz import sheets\n")
    assert code_modules("soda.vectors.near", root=copied) >= {"soda.vectors.job", "soda.vectors.store", "soda.viz.sheets"}
    (copied / "soda/late.py").write_text('import importlib\n\nfound = importlib.import_module("soda.vectors.job")\n')
    assert "soda.vectors.job" in code_modules("soda.late", root=copied)
    (copied / "soda/late.py").unlink()
    (copied / "soda/vectors/near.py").unlink()


def test_a_package_that_looks_through_itself_counts_all_that_it_holds(copied: Path) -> None:
    package = copied / "soda/found"
    package.mkdir()
    (package / "__init__.py").write_text("import pkgutil\n\nNAMES = [each.name for each in pkgutil.iter_modules(__path__)]\n")
    (package / "one.py").write_text("A = 1\n")
    before = code_fingerprint("soda.found", root=copied)
    assert code_modules("soda.found", root=copied) == {"soda.found", "soda.found.one"}
    (package / "two.py").write_text("B = 1\n")
    assert code_fingerprint("soda.found", root=copied) != before
    shutil.rmtree(package)


def test_a_package_that_is_passed_through_brings_nothing_and_a_name_from_it_all() -> None:
    assert "soda.runtime.onnx_encoder" not in code_modules("soda.data.fetch")  # which uses soda.runtime.preprocess
    assert "soda.runtime.onnx_encoder" in code_modules("soda.report.stage")  # which takes Encoder from soda.runtime


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"soda\.gone"):
        code_fingerprint("soda.gone")


def test_every_data_file_is_seen_by_the_module_that_uses_it(edited: Callable[[str, Callable[[str], str]], set[str]]) -> None:
    files = [
        path for path in (ROOT / "soda").rglob("*") if path.suffix in DATA_SUFFIXES and not {"serve", "vectors"} & {*path.parts}
    ]
    assert len(files) > 5
    for path in files:
        assert edited(str(path.relative_to(ROOT)), lambda text: text + "\n"), path
