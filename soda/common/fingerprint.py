"""One fingerprint of "the code that decides this", from the import graph: DVC's stages, checkpoints and kept runs go by it.

It is a hash over a module and all modules of ours that it imports, at the top or within functions, and so on; of a package that
looks through its own `__path__`, over all that it holds. Of each module the syntax tree counts, without docstrings, comments and
layout, and with it the templates, styles and scripts that the module names. So a new code file is seen by itself, and a mended
comment reruns nothing.

What is left out, and why:

- What is imported for type checkers alone.
- A package that is only passed through: `from soda.runtime.names import x` doesn't count what `soda.runtime` itself imports, as
  importing does nothing here. A name taken from the package does (`from soda.runtime import Encoder`).
- `soda.config`: its values reach a stage as params, and a run's key as settings. What it computes from these values (properties,
  e.g. the number of sections) is code, and counts.
- How files are written and what errors are called (`soda.common.files`, `soda.common.errors`), where files are (`soda.layout`,
  whose paths dvc.yaml names), and this module.
- Other people's packages, whose versions constraints.txt holds.
"""

from __future__ import annotations

import ast
import hashlib
import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("soda", "benchmarks")
VALUES = ("soda.config", "soda.settings")
LEFT_OUT = ("soda.common.files", "soda.common.errors", "soda.common.fingerprint", "soda.layout")
DATA_SUFFIXES = {".j2", ".css", ".js", ".html"}


def code_fingerprint(*modules: str, root: Path = ROOT) -> str:
    """The fingerprint of the code that runs when one of `modules` runs, as 64 hexadecimal digits.

    Args:
        modules: dotted names, e.g. "soda.training.loop".
        root: the folder that holds the packages.

    Raises:
        ModuleNotFoundError: one of the modules isn't there.
    """
    digest = hashlib.sha256()
    for name in sorted(code_modules(*modules, root=root)):
        file = _file_of(name, root)
        assert file is not None
        digest.update(f"{name}:{_tree_hash(file, file.stat().st_mtime_ns, name.startswith(VALUES))}\n".encode())
        for data in _data_files(file):
            digest.update(f"{data.relative_to(root).as_posix()}:{hashlib.sha256(data.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def code_modules(*modules: str, root: Path = ROOT) -> set[str]:
    """The names of the modules that `code_fingerprint` goes over."""
    found: set[str] = set()
    left = list(modules)
    while left:
        name = left.pop()
        if name in found or name in LEFT_OUT:
            continue
        file = _file_of(name, root)
        if file is None:
            raise ModuleNotFoundError(f"no module {name} in {root}", name=name)
        found.add(name)
        further = _imported(file, name, root)
        left += (each for each in further if each.startswith(VALUES)) if name.startswith(VALUES) else further
    return found


def _file_of(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _parsed(file: Path, modified: int) -> ast.Module:
    """The syntax tree without what never runs."""
    tree: ast.Module = _Stripped().visit(ast.parse(file.read_bytes(), str(file)))
    return tree


def _parse(file: Path) -> ast.Module:
    return _parsed(file, file.stat().st_mtime_ns)


class _Stripped(ast.NodeTransformer):
    """Takes away docstrings, and other texts that stand alone, and what is for type checkers."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return node.orelse
        return node


def _imported(file: Path, module: str, root: Path) -> Iterator[str]:
    """The modules of ours that a file imports, wherever in it."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(_parse(file)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names = [name if _file_of(name, root) else origin for name in (f"{origin}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        elif isinstance(node, ast.Name) and node.id == "__path__":
            beside = {path.stem for path in file.parent.iterdir() if path.stem.isidentifier()} - {"__init__", "__pycache__"}
            names = [f"{package}.{name}" for name in sorted(beside) if _file_of(f"{package}.{name}", root)]
        yield from (name for name in names if name.partition(".")[0] in PACKAGES)


@cache
def _tree_hash(file: Path, modified: int, properties_alone: bool) -> str:
    """The hash of a syntax tree, the same for every version of Python."""
    tree: list[ast.AST] = [_parse(file)]
    if properties_alone:
        tree = [
            node
            for node in ast.walk(tree[0])
            if isinstance(node, ast.FunctionDef) and {"property", "cached_property"} & set(map(ast.unparse, node.decorator_list))
        ]
    text = io.StringIO()
    _write(tree, text)
    return hashlib.sha256(text.getvalue().encode()).hexdigest()


def _write(node: object, text: io.StringIO) -> None:
    # Not ast.dump, which writes empty fields in one version of Python and leaves them out in the next.
    if isinstance(node, ast.AST):
        text.write(type(node).__name__)
        text.write("(")
        for name, value in ast.iter_fields(node):
            if value is not None and value != [] and name not in ("kind", "type_comment"):
                text.write(f"{name}=")
                _write(value, text)
        text.write(")")
    elif isinstance(node, list):
        text.write("[")
        for item in node:
            _write(item, text)
        text.write("]")
    else:
        text.write(f"{node!r},")


def _data_files(file: Path) -> list[Path]:
    """The files beside a module that it names, or that are in a folder which it names."""
    texts = {node.value for node in ast.walk(_parse(file)) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    beside = {text.rpartition("/")[2] for text in texts} & {path.name for path in file.parent.iterdir()}
    named = [file.parent / name for name in sorted(beside)]
    inside = [inner for path in named if path.is_dir() for inner in sorted(path.iterdir())]
    return [path for path in [*named, *inside] if path.suffix in DATA_SUFFIXES and path.is_file()]
