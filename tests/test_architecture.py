"""How the program hangs together: imports go down one list, each dependency has its place."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import packages_distributions

import pytest
from imports import MODULES, parse
from imports import imported_packages as imported

# All that works on pixels: image_ops and the modules that it is made of, and the name card.
PIXELS = (
    "name_card",
    "image_ops",
    "decoding",
    "watermark",
    "grounds",
    "shrinking",
    "framing",
    "icc",
    "jpeg_writer",
    "image_headers",
    "av1_size",
)

# A module imports only what stands below it. A new module gets its line here.
ORDER = (
    "main",
    "memory",
    "answers",
    "pages",
    "assets",
    "texts",
    "shares",
    "uploads",
    *PIXELS,
    "platforms",
    "storage",
    "guards",
    "source",
    "config",
    "logs",
    "errors",
)

# The modules that may import a dependency; every other dependency has no place in the program.
PLACES = {
    "flask": {"main", "answers", "uploads", "pages", "assets"},
    "werkzeug": {"main", "pages"},
    "multipart": {"uploads"},
    "jinja2": {"pages"},
    "markupsafe": {"pages"},
    "PIL": {*PIXELS},
    "pi_heif": {*PIXELS},
    "limits": {"guards"},
    "google": {"storage"},
    "requests": {"storage"},
    "urllib3": {"storage"},
}
INSTALLED = packages_distributions()


def test_the_order_names_each_module_once() -> None:
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_place_in_the_order(module: str) -> None:
    assert module in ORDER


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_the_order(module: str) -> None:
    """No arrow upward and none to itself: so there is no cycle either."""
    below = ORDER[ORDER.index(module) + 1 :]
    upward = imported(module) & {*ORDER, *MODULES} - set(below)
    assert upward == set()


@pytest.mark.parametrize("module", MODULES)
def test_a_dependency_is_imported_only_where_it_belongs(module: str) -> None:
    dependencies = imported(module) - sys.stdlib_module_names - set(MODULES)
    misplaced = {name for name in dependencies if module not in PLACES.get(name, set())}
    assert misplaced == set()


def test_pictures_and_storage_never_meet() -> None:
    assert [module for module in PIXELS if "storage" in imported(module)] == []
    assert imported("storage").isdisjoint(PIXELS)


@pytest.mark.parametrize("module", ["errors", "source"])
def test_scripts_can_use_a_module_without_installing_anything(module: str) -> None:
    assert imported(module) <= sys.stdlib_module_names


@pytest.mark.parametrize("module", sorted({*MODULES} - {"config"}))
def test_the_environment_is_read_in_config_alone(module: str) -> None:
    nodes = list(ast.walk(parse(module)))
    # The client library of the bucket is configured by the environment alone.
    allowed = [default_set(node) for node in nodes] if module == "storage" else []
    readings = [node for node in nodes if reads_environment(node) and node not in allowed]
    assert [ast.unparse(node) for node in readings] == []


def reads_environment(node: ast.AST) -> bool:
    names = {"environ", "environb", "getenv", "getenvb"}
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and any(alias.name in names for alias in node.names)
    return (
        isinstance(node, ast.Attribute)
        and node.attr in names
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    )


def default_set(node: ast.AST) -> ast.AST | None:
    """Return X of a statement `X.setdefault(...)`: it writes, and uses nothing of what it reads."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=target, attr="setdefault"))):
            return target
    return None


@pytest.mark.parametrize("module", MODULES)
def test_a_module_hides_no_other(module: str) -> None:
    """The program's folder is the last on the host's path: a name that exists already wins."""
    assert module not in sys.stdlib_module_names
    assert module not in INSTALLED
