"""gcloud's own code, as far as it runs without an account.

run        what a program that imports it prints
refused    the command lines that it does not understand

Unknown flags, missing arguments and malformed values fail before anyone is authenticated, so what
is left to complain about, where a command is right, is the missing account.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

_PROGRAM = """
import contextlib, io, json, sys
question = json.load(sys.stdin)
sys.path[:0] = [question["lib"], question["lib"] + "/third_party"]
from googlecloudsdk import gcloud_main
cli = gcloud_main.CreateCLI([])
problems = []
for command in question["commands"]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            cli.Execute(command[1:])
        except SystemExit as end:
            status = end.code
        else:
            status = 0
    if status != 1:
        problems.append([command, status, said.getvalue()])
print(json.dumps(problems))
"""


def refused(commands: list[list[str]], folder: Path) -> list[list[object]]:
    """Return the commands that gcloud does not understand, with its status and what it said.

    folder: for its configuration, empty: nothing can be executed, whoever is logged in here. Skips
    the test where gcloud is not installed.
    """
    problems: list[list[object]] = run(_PROGRAM, folder, commands=commands)
    return problems


def run(program: str, folder: Path, **question: object) -> Any:  # noqa: ANN401 - whatever it prints
    """Return what a program prints that imports gcloud's code, both ways as JSON.

    program: finds the folder of that code as "lib" beside the question; folder: for gcloud's
    configuration. Skips the test where gcloud is not installed.
    """
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        pytest.skip("gcloud is not installed: there is no code of its to run")
    lib = Path(gcloud).resolve().parents[1] / "lib"
    if not (lib / "googlecloudsdk").is_dir():
        pytest.skip(f"gcloud is installed in an unknown way: its code is not in {lib}")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "ignore", "-c", program],
        input=json.dumps({"lib": str(lib), **question}),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CLOUDSDK_CONFIG": str(folder),
            "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",  # nor the account of the machine
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "true",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        },
        cwd=ROOT,  # commands name files of the repository
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # before it, what gcloud's own writer printed
