"""What is there to copy: the workflow of GitHub, metrics, the dashboard."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.request_log import RequestLog

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
MONITORING = sorted((ROOT / "docs/monitoring").glob("*.json"))
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / "docs/github-actions.yml").read_text())


def steps() -> list[dict[str, Any]]:
    return [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def test_the_workflow_runs_commands_that_are_there(tmp_path: Path) -> None:
    scripts = [step["run"] for step in steps() if "run" in step]
    named = {name for script in scripts for name in re.findall(r"scripts/[\w-]+", script)}
    assert named == {"scripts/deploy", "scripts/verify"}
    for number, script in enumerate(scripts):
        path = tmp_path / f"{number}.sh"
        path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        shellcheck = Path(sys.executable).with_name("shellcheck")
        subprocess.run([shellcheck, path], check=True, capture_output=True, timeout=60)


def test_nothing_of_the_workflow_is_put_into_a_command_by_github() -> None:
    """What stands in ${{ }} is replaced before a shell reads it: it goes into the environment."""
    assert not any("${{" in step.get("run", "") for step in steps())


def test_the_workflow_may_do_no_more_than_it_has_to() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert WORKFLOW["jobs"]["deploy"]["permissions"] == {"contents": "read", "id-token": "write"}
    assert "permissions" not in WORKFLOW["jobs"]["verify"]
    assert all(job["timeout-minutes"] <= 30 for job in WORKFLOW["jobs"].values())


def test_a_deploy_is_not_done_on_the_schedule_and_verify_is_done_on_nothing_else() -> None:
    conditions = {name: job["if"] for name, job in WORKFLOW["jobs"].items()}
    assert conditions == {
        "deploy": "github.event_name != 'schedule'",
        "verify": "github.event_name == 'schedule'",
    }
    assert WORKFLOW[True]["schedule"]  # YAML takes "on" for true


def test_every_variable_of_the_workflow_is_explained_in_it() -> None:
    text = (ROOT / "docs/github-actions.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"(?:vars|secrets)\.(\w+)", text))
    head = text.partition("name:")[0]
    assert used == set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", head)) - {"UPLOAD_KEYS"}


@pytest.mark.parametrize("path", MONITORING, ids=lambda path: path.stem)
def test_each_file_of_monitoring_has_its_command_and_looks_at_this_service_alone(
    path: Path,
) -> None:
    assert f"docs/monitoring/{path.name}" in OPERATIONS
    text = path.read_text(encoding="utf-8")
    filters = re.findall(r'"filter": "((?:[^"\\]|\\.)*)"', text)
    assert filters
    for each in filters:
        assert r"resource.labels.service_name=\"share-image\"" in each


def test_metrics_take_their_labels_from_fields_that_are_logged() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "serving").glob("*.py"))
    sources += (ROOT / "main.py").read_text()
    for path in MONITORING:
        for extractor in json.loads(path.read_text()).get("labelExtractors", {}).values():
            name = extractor.removeprefix("EXTRACT(jsonPayload.").removesuffix(")")
            assert f"{name}=" in sources
    views = json.loads((ROOT / "docs/monitoring/views.json").read_text())
    assert "NOT jsonPayload.is_crawler=true" in views["filter"]
    assert "is_crawler" in Path(sys.modules[RequestLog.__module__].__file__ or "").read_text()


def test_the_dashboard_shows_metrics_that_are_made_and_tiles_that_do_not_overlap() -> None:
    board = json.loads((ROOT / "docs/monitoring/dashboard.json").read_text())["mosaicLayout"]
    text = json.dumps(board)
    for name in re.findall(r"logging\.googleapis\.com/user/(\w+)", text):
        assert f"gcloud logging metrics create {name} " in OPERATIONS
    taken: set[tuple[int, int]] = set()
    for tile in board["tiles"]:
        columns = range(tile["xPos"], tile["xPos"] + tile["width"])
        cells = {
            (x, y) for x in columns for y in range(tile["yPos"], tile["yPos"] + tile["height"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < board["columns"]
        taken |= cells
