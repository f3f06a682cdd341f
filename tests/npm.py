"""What the tests take from npm: tests/npm, which scripts/test installs where there is npm.

run_node    a program of that folder, by Node.js
tsc         the TypeScript compiler, over a folder
bundle      one ES module of a source and all that it imports
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from function_server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

NPM = ROOT / "tests" / "npm"
MODULES = NPM / "node_modules"


def run_node(program: str, *arguments: str, folder: Path = NPM, text: str = "") -> str:
    """Run a JavaScript file, named from tests/npm, and return what it printed."""
    return _run(["node", str(NPM / program), *arguments], folder, text)


def tsc(folder: Path, *arguments: str) -> str:
    """Return what the TypeScript compiler complains about in a folder."""
    _require()
    command = ["node", str(MODULES / "typescript" / "bin" / "tsc"), "--noEmit", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def bundle(source: str, *options: str) -> str:
    """Return one ES module that holds a source and what it imports from tests/npm."""
    esbuild = ("node_modules/esbuild/bin/esbuild", "--bundle", "--format=esm", "--jsx=automatic")
    define = '--define:process.env.NODE_ENV="production"'
    return run_node(*esbuild, define, "--loader=tsx", *options, text=source)


def _run(command: list[str], folder: Path, text: str) -> str:
    _require()
    done = subprocess.run(
        command, cwd=folder, input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _require() -> None:
    if shutil.which("node") and (MODULES / "installed.json").exists():
        return
    if os.environ.get("CI"):
        raise RuntimeError("tests/npm is not installed; .ci/run does so")
    pytest.skip("tests/npm is not installed: scripts/test does so where npm is on the PATH")
