"""What the program's modules and the tests import, read from their text."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = sorted(path.stem for path in ROOT.glob("*.py"))

# There for type checkers alone: no package, and never imported when the program runs.
TYPING_ONLY = {"_typeshed"}


def parse(module: str) -> ast.Module:
    return ast.parse((ROOT / f"{module}.py").read_bytes())


def imported(module: str) -> set[str]:
    """Return the dotted names that a module imports, those in functions and for types as well."""
    return imported_by(parse(module))


def imported_by(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "no folder here is a package"
            names.add(node.module or "")
    return {name for name in names if name.partition(".")[0] not in TYPING_ONLY}


def imported_packages(module: str) -> set[str]:
    """Return the top-level names of what a module imports."""
    return {name.partition(".")[0] for name in imported(module)}
