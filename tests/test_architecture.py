"""How the program hangs together: imports go down one list, each dependency has its place."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions

import pytest
from imports import MODULES, PACKAGES, imported, imported_packages, parse

# All that works on pixels, in the order of its imports.
PIXELS = (
    "image_ops",
    "imaging.contained",
    "imaging.pipeline",
    "imaging.likeness",
    "imaging.lettering",
    "imaging.memory_cost",
    "imaging.sandbox",
    "imaging.decoding",
    "imaging.color_spaces",
    "imaging.headers",
    "imaging.saliency",
    "imaging.backgrounds",
    "imaging.resizing",
    "imaging.colors",
    "imaging.jpeg_writer",
    "imaging.resampling",
    "imaging.provenance",
    "imaging.geometry",
    "imaging",
)

# A module imports only what stands below it. A new module gets its line here.
ORDER = (
    "main",
    "serving.routing",
    "serving.framework",
    "serving.health",
    "serving.views",
    "serving.app_proxy",
    "serving.admission",
    "serving.upload_tokens",
    "serving.pages",
    "serving.assets",
    "serving.looks",
    "serving.qr_code",
    "serving.conditional",
    "serving.request_log",
    "serving.unread",
    "serving.responses",
    "shares",
    "moderation",
    "moderation.http_check",
    "moderation.contract",
    "moderation.blocklist",
    "share_objects",
    "serving.forms",
    "serving.body",
    "serving.languages",
    "serving.rate_limit",
    "serving.cors",
    "serving",
    "platforms",
    *PIXELS,
    "process",
    "storage",
    "stores.cached",
    "stores.local",
    "stores.bucket",
    "stores.gcs_client",
    "stores.contract",
    "stores.circuit",
    "stores",
    "links",
    "share_keys",
    "deployed",
    "config",
    "config.values",
    "config.glyphs",
    "logs",
    "errors",
    "late_import",
)

# The modules that may import a dependency; every other dependency has no place in the program.
SERVING = {name for name in ORDER if name.startswith("serving.")}
PLACES = {
    "flask": {"main", *SERVING},
    "werkzeug": {"main", "serving.framework", "serving.routing"},
    "multipart": {"serving.forms"},
    "jinja2": {"serving.pages"},
    "markupsafe": {"serving.looks", "serving.qr_code"},
    "segno": {"serving.qr_code"},
    "PIL": {*PIXELS},
    "cykooz_resizer": {"imaging.resampling"},
    "pi_heif": {"imaging.contained", "imaging.decoding"},
    "limits": {"serving.rate_limit"},
    "cachetools": {"stores.cached"},
    "google": {"stores.gcs_client", "stores.bucket"},
    "requests": {"stores.gcs_client"},
    "urllib3": {"stores.gcs_client"},
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
    upward = imported(module) & {*ORDER, *MODULES} - {*below, *PACKAGES}
    assert upward == set()


@pytest.mark.parametrize("module", MODULES)
def test_a_dependency_is_imported_only_where_it_belongs(module: str) -> None:
    own = {*MODULES, *PACKAGES}
    dependencies = imported_packages(module) - sys.stdlib_module_names - own
    misplaced = {name for name in dependencies if module not in PLACES.get(name, set())}
    assert misplaced == set()


def test_the_official_client_is_imported_in_one_place_alone() -> None:
    """Threads that imported it from two sides left it half imported (see late_import)."""
    tree = parse("stores.gcs_client")
    (place,) = (node for node in ast.walk(tree) if getattr(node, "name", "") == "_import_vendor")
    types = next(node for node in tree.body if isinstance(node, ast.If))
    allowed = {*ast.walk(place), *ast.walk(types)}
    vendor = {name for name, modules in PLACES.items() if "stores.gcs_client" in modules}
    strays = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and node not in allowed
        and vendor & set(re.findall(r"\w+", ast.unparse(node)))
    ]
    assert strays == []


STORES = {"storage", *(name for name in ORDER if name.startswith("stores"))}


def test_pictures_and_stores_never_meet() -> None:
    for module in PIXELS:
        assert imported(module).isdisjoint(STORES)
    for module in STORES:
        assert imported(module).isdisjoint(PIXELS)


def test_neither_pictures_nor_stores_know_of_http_requests() -> None:
    for module in (*PIXELS, *STORES):
        assert imported(module).isdisjoint({*SERVING, "flask"})


@pytest.mark.parametrize("module", ["errors", "deployed", "links"])
def test_scripts_can_use_a_module_without_installing_anything(module: str) -> None:
    assert imported_packages(module) <= sys.stdlib_module_names


@pytest.mark.parametrize("module", sorted({*MODULES} - {"config"}))
def test_the_environment_is_read_in_config_alone(module: str) -> None:
    nodes = list(ast.walk(parse(module)))
    # The client library of the bucket is configured by the environment alone.
    allowed = [default_set(node) for node in nodes] if module == "stores.gcs_client" else []
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
    package = module.partition(".")[0]
    assert package not in sys.stdlib_module_names
    assert package not in INSTALLED
