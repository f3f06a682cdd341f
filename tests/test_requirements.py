"""requirements.txt pins what the program needs, no more; requirements-dev.txt adds the tools."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from imports import MODULES, imported, imported_by
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DEPLOYED = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"

# Versions that the pins must be complete for: the deployed one, and those of developers.
PYTHONS = ("3.11.0", "3.12.0", "3.13.0")

PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9][0-9A-Za-z.]*)(?:  # (?P<reason>.+))?")
DIRECT = re.compile(r"# Direct: .*")
INDIRECT = re.compile(r"# Indirect: .*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """One file: name to version, those with a reason and those that others need."""

    direct: dict[str, str]
    indirect: dict[str, str]

    @property
    def all(self) -> dict[str, str]:
        return self.direct | self.indirect


def read_pins(name: str) -> Pins:
    sections: dict[str, dict[str, str]] = {"head": {}, "direct": {}, "indirect": {}}
    section = "head"
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if DIRECT.fullmatch(line) or INDIRECT.fullmatch(line):
            section = "direct" if DIRECT.fullmatch(line) else "indirect"
        elif pin := PIN.fullmatch(line):
            sections[section][pin["name"]] = pin["version"]
    assert not sections["head"]
    return Pins(direct=sections["direct"], indirect=sections["indirect"])


def pinned(*names: str) -> dict[str, str]:
    return {pin: version for name in names for pin, version in read_pins(name).all.items()}


def needed_by(name: str, extras: frozenset[str], python: str) -> list[Requirement]:
    """Return what an installed package requires under a version of CPython on Linux."""
    environment = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": "linux",
    }
    requirements = map(Requirement, importlib.metadata.requires(name) or ())
    return [
        requirement
        for requirement in requirements
        if requirement.marker is None
        or any(
            requirement.marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)
        )
    ]


def closure(names: set[str]) -> set[str]:
    """Return the names and all that they require under any Python, directly or through others."""
    reached: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, frozenset[str]()) for name in names]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) not in reached:
            reached.add((name, extras))
            waiting += [
                (canonicalize_name(requirement.name), frozenset(requirement.extras))
                for python in PYTHONS
                for requirement in needed_by(name, extras, python)
            ]
    return {name for name, _ in reached}


@pytest.mark.parametrize("name", [DEPLOYED, DEVELOPMENT])
def test_every_line_is_a_plain_pin_or_a_comment(name: str) -> None:
    """Pip and uv read nothing else alike; a registry's address has no place here."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    allowed = {"", "-r requirements.txt"} if name == DEVELOPMENT else {""}
    strange = [line for line in lines if line not in allowed and not line.startswith("# ")]
    assert [line for line in strange if not PIN.fullmatch(line)] == []
    assert "://" not in "".join(lines)


@pytest.mark.parametrize("name", [DEPLOYED, DEVELOPMENT])
def test_pins_are_sorted_and_each_direct_one_says_why(name: str) -> None:
    pins = read_pins(name)
    assert list(pins.direct) == sorted(pins.direct)
    assert list(pins.indirect) == sorted(pins.indirect)
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    reasons = {pin["name"] for pin in map(PIN.fullmatch, lines) if pin and pin["reason"]}
    assert reasons == set(pins.direct)


def test_the_host_finds_the_framework_it_looks_for() -> None:
    """Else the build injects an old functions-framework, Flask and Werkzeug of its own choice."""
    text = (ROOT / DEPLOYED).read_text(encoding="utf-8")
    assert re.search(r"^functions-framework==", text, re.MULTILINE)
    assert re.search(r"^flask==", text, re.MULTILINE)


def test_development_repeats_no_deployed_pin() -> None:
    assert set(read_pins(DEPLOYED).all).isdisjoint(read_pins(DEVELOPMENT).all)
    lines = (ROOT / DEVELOPMENT).read_text(encoding="utf-8").splitlines()
    assert "-r requirements.txt" in lines


def test_what_is_installed_is_what_is_pinned() -> None:
    pins = pinned(DEPLOYED, DEVELOPMENT)
    assert {name: importlib.metadata.version(name) for name in pins} == pins


def test_the_deployed_pins_are_complete_and_none_is_superfluous() -> None:
    pins = read_pins(DEPLOYED)
    assert closure(set(pins.direct)) == set(pins.all)


def test_the_development_pins_are_complete_and_none_is_superfluous() -> None:
    direct = set(read_pins(DEVELOPMENT).direct)
    deployed = set(pinned(DEPLOYED))
    assert closure(direct) | deployed == set(pinned(DEPLOYED, DEVELOPMENT))


@pytest.mark.parametrize("python", PYTHONS)
def test_the_pins_satisfy_each_other(python: str) -> None:
    pins = pinned(DEPLOYED, DEVELOPMENT)
    broken = [
        f"{name} needs {requirement}"
        for name in pins
        for requirement in needed_by(name, frozenset(), python)
        if not requirement.specifier.contains(pins[canonicalize_name(requirement.name)])
    ]
    assert broken == []


@pytest.mark.parametrize("name", sorted(pinned(DEPLOYED)))
def test_a_deployed_package_admits_every_python(name: str) -> None:
    stated = importlib.metadata.metadata(name).get_all("Requires-Python") or []
    admitted = SpecifierSet(",".join(stated))
    assert [python for python in PYTHONS if not admitted.contains(python)] == []


def test_the_program_imports_nothing_that_is_not_deployed() -> None:
    names = {name for module in MODULES for name in imported(module)}
    assert not_provided(names, own=set(MODULES), packages=set(pinned(DEPLOYED))) == []


def test_the_tests_import_nothing_that_is_not_pinned_as_direct() -> None:
    files = [path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    names = {name for path in files for name in imported_by(ast.parse(path.read_bytes()))}
    own = {*MODULES, *(path.stem for path in files), *(p.stem for p in ROOT.glob("scripts/*"))}
    own |= pinned_for_the_bench()  # in an environment of its own
    direct = {*pinned(DEPLOYED), *read_pins(DEVELOPMENT).direct}
    assert not_provided(names, own=own, packages=direct) == []


def pinned_for_the_bench() -> set[str]:
    lines = (ROOT / "bench" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {pin["name"] for line in lines if (pin := PIN.fullmatch(line))}


def not_provided(names: set[str], *, own: set[str], packages: set[str]) -> list[str]:
    """Return the dotted names that no module of ours, of Python or of those packages bears."""
    files = [file.as_posix() for name in packages for file in importlib.metadata.files(name) or ()]
    at_hand = own | sys.stdlib_module_names
    places = {
        name: name.replace(".", "/") for name in names if name.partition(".")[0] not in at_hand
    }
    return [
        name
        for name, place in places.items()
        if not any(file.startswith((f"{place}/", f"{place}.")) for file in files)
    ]


def test_every_package_that_is_deployed_stands_once_in_the_table_of_licences() -> None:
    page = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| ")][1:]
    listed = [name for row in table for name in re.findall(r"`([^`]+)`", row)]
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==", pins, re.MULTILINE)
    assert sorted(listed) == sorted(pinned)


def test_no_deployed_package_asks_for_more_than_the_table_says() -> None:
    """A package whose licence changes to one that binds the operator is found here."""
    page = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
    (lesser,) = [line for line in page.splitlines() if line.startswith("| LGPL")]
    for name in re.findall(
        r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE
    ):
        said = importlib.metadata.metadata(name)
        words = [*(said.get_all("License-Expression") or []), *(said.get_all("Classifier") or [])]
        if any(re.search(r"GPL|General Public", word) for word in words):
            assert f"`{name}`" in lesser
