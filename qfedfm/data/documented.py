"""The public, documented objects of an installed package, read from its source files without importing it."""

from __future__ import annotations

import ast
import importlib.util
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from qfedfm.core.errors import RunError

_SKIPPED = {"tests", "testing", "conftest.py", "setup.py", "_examples", "_vendored", "mpl-data", "backends"}
_ADDERS = {"add_newdoc", "add_docstr", "_add_docstr", "add_docstr_all"}


class Documented(NamedTuple):
    """A documented public object: its dotted name and its raw docstring."""

    name: str
    doc: str


def documented(module: str) -> Iterator[Documented]:
    """Yields the documented public objects of a module, or of all modules of a package."""
    package, *rest = module.split(".")
    spec = importlib.util.find_spec(package)  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise RunError(f"the source 'docstrings' needs the package {package}, which is not installed")
    root = Path(spec.submodule_search_locations[0])
    target = root.joinpath(*rest)
    if target.is_dir():
        files = [f for f in target.rglob("*.py") if not _SKIPPED & set(f.relative_to(root).parts)]
    else:
        files = [target.with_suffix(".py")]
    if rest and not any(f.is_file() for f in files):
        return  # a version of the package without this module
    files.sort(key=lambda f: f.as_posix())
    exported: defaultdict[Path, set[str]] = defaultdict(set)
    for f in files:
        if f.name == "__init__.py":
            tree = _parse(f)
            exported[f.parent] = _imported(tree) | (_all_names(tree) or set())
    for f in files:
        tree = _parse(f)
        dotted = ".".join([package, *f.relative_to(root).with_suffix("").parts])
        names = _all_names(tree)
        if names is None and f.stem.startswith("_") and f.name != "__init__.py" and exported[f.parent]:
            names = exported[f.parent]  # a private module: public is what its package takes from it
        yield from _objects(tree.body, dotted, names)


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))


def _all_names(tree: ast.Module) -> set[str] | None:
    """Returns the literal names of ``__all__``, or None where there is none to read."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            assert isinstance(node, ast.Assign)
            if isinstance(node.value, ast.List | ast.Tuple):
                return {
                    e.value
                    for e in node.value.elts
                    if isinstance(e, ast.Constant) and isinstance(e.value, str)
                }
    return None


def _imported(tree: ast.Module) -> set[str]:
    nodes = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    return {alias.asname or alias.name for node in nodes for alias in node.names}


def _objects(body: Iterable[ast.stmt], prefix: str, names: set[str] | None) -> Iterator[Documented]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if node.name.startswith("_") or (names is not None and node.name not in names):
                continue
            dotted = f"{prefix}.{node.name}"
            doc = ast.get_docstring(node)
            if doc:
                yield Documented(dotted, doc)
            if isinstance(node, ast.ClassDef):
                yield from _objects(node.body, dotted, None)
        elif isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Call):
            yield from _added(node.value, prefix)


def _added(call: ast.Call, prefix: str) -> Iterator[Documented]:
    """Docstrings that a package attaches to compiled functions, such as ``add_newdoc(place, name, doc)``."""
    function = call.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called not in _ADDERS or not call.args:
        return
    texts = [
        piece.value
        for piece in ast.walk(call.args[-1])
        if isinstance(piece, ast.Constant) and isinstance(piece.value, str) and "\n" in piece.value
    ]
    if not texts:
        return
    for argument in reversed(call.args[:-1]):
        name = argument.value if isinstance(argument, ast.Constant) else getattr(argument, "attr", None)
        if isinstance(name, str):
            if not name.startswith("_"):
                yield Documented(f"{prefix}.{name}", max(texts, key=len))
            return
