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
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("soda", "benchmarks")
VALUES = ("soda.config",)
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
    for name, code in sorted(_closure(modules, root).items()):
        digest.update(f"{name}:{code.properties if name.startswith(VALUES) else code.tree}\n".encode())
        for data in code.data_files():
            digest.update(f"{data.relative_to(root).as_posix()}:{hashlib.sha256(data.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def code_modules(*modules: str, root: Path = ROOT) -> set[str]:
    """The names of the modules that `code_fingerprint` goes over."""
    return set(_closure(modules, root))


@dataclass(frozen=True)
class _Code:
    """What one file says. tree, properties: hashes of its syntax tree and of its properties alone."""

    file: Path
    tree: str
    properties: str
    imports: list[ast.Import | ast.ImportFrom]
    by_name: list[str]  # given to import_module
    looks_inside: bool  # through its own __path__
    texts: set[str]

    def imported(self, module: str, root: Path) -> Iterator[str]:
        """The modules that it imports, wherever in it; others' among them."""
        yield from self.by_name
        package = module if self.file.name == "__init__.py" else module.rpartition(".")[0]
        for node in self.imports:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
                continue
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for name in (f"{origin}.{alias.name}" for alias in node.names):
                yield name if _file_of(name, root) else origin
        if self.looks_inside:
            beside = (path.stem for path in self.file.parent.iterdir() if path.stem.isidentifier() and path.stem != "__init__")
            yield from (f"{package}.{name}" for name in beside if _file_of(f"{package}.{name}", root))

    def data_files(self) -> list[Path]:
        """The files beside it that it names, or that are in a folder which it names."""
        beside = {text.rpartition("/")[2] for text in self.texts} & {path.name for path in self.file.parent.iterdir()}
        named = [self.file.parent / name for name in sorted(beside)]
        inside = [inner for path in named if path.is_dir() for inner in sorted(path.iterdir())]
        return [path for path in [*named, *inside] if path.suffix in DATA_SUFFIXES and path.is_file()]


def _closure(modules: tuple[str, ...], root: Path) -> dict[str, _Code]:
    found: dict[str, _Code] = {}
    left = list(modules)
    while left:
        name = left.pop()
        if name in found or name in LEFT_OUT:
            continue
        file = _file_of(name, root)
        if file is None:
            raise ModuleNotFoundError(f"no module {name} in {root}", name=name)
        found[name] = code = _read(file, file.stat().st_mtime_ns)
        ours = [each for each in code.imported(name, root) if each.partition(".")[0] in PACKAGES]
        left += [each for each in ours if each.startswith(VALUES)] if name.startswith(VALUES) else ours
    return found


def _file_of(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _read(file: Path, modified: int) -> _Code:
    tree = _Stripped().visit(ast.parse(file.read_bytes(), str(file)))
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")]
    return _Code(
        file,
        tree=_hash(tree),
        properties=_hash(
            [each for each in functions if {"property", "cached_property"} & set(map(ast.unparse, each.decorator_list))]
        ),
        imports=[node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))],
        by_name=[
            each.value for call in calls for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ],
        looks_inside=any(isinstance(node, ast.Name) and node.id == "__path__" for node in nodes),
        texts={node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)},
    )


class _Stripped(ast.NodeTransformer):
    """Takes away docstrings, and other texts that stand alone, and what is for type checkers."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse if ast.unparse(node.test).endswith("TYPE_CHECKING") else node


def _hash(tree: ast.AST | list[ast.FunctionDef]) -> str:
    text = io.StringIO()
    _write(tree, text)
    return hashlib.sha256(text.getvalue().encode()).hexdigest()


def _write(node: object, text: io.StringIO) -> None:
    # Not ast.dump, which writes empty fields in one version of Python and leaves them out in the next.
    if isinstance(node, ast.AST):
        text.write(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
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
