"""What the program's modules and the tests import, read from their text."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("config", "imaging", "moderation", "serving", "stores")
_FILES = [*ROOT.glob("*.py"), *(path for name in PACKAGES for path in ROOT.glob(f"{name}/*.py"))]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in _FILES
)

# There for type checkers alone: no package, and never imported when the program runs.
TYPING_ONLY = {"_typeshed"}


def parse(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_bytes())


def imported(module: str) -> set[str]:
    """Return the dotted names that a module imports, those in functions and for types as well."""
    return imported_by(parse(module))


def imported_by(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
    return {name for name in names if name.partition(".")[0] not in TYPING_ONLY}


def imported_packages(module: str) -> set[str]:
    """Return the top-level names of what a module imports."""
    return {name.partition(".")[0] for name in imported(module)}
