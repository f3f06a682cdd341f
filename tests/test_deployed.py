"""deployed.py and gcloud upload the same files, and the digest misses no change."""

from __future__ import annotations

import compileall
import itertools
import os
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import gcloud_code
import pytest

import deployed

ROOT = Path(__file__).parents[1]

PROGRAM = [
    "fonts/OFL.txt",
    "fonts/Script.ttf",
    "main.py",
    "openapi.json",
    "requirements.txt",
    "serving/templates/page.html",
    "serving/templates/parts/button.html",
    "shares.py",
    "web/img/logo.svg",
    "web/index.html",
    "web/share-image.js",
]
OTHERS = [
    ".ci/run",
    ".env",
    ".gcloudignore",
    ".git/HEAD",
    ".git/hooks/pre-commit.py",
    ".gitignore",
    ".hidden.py",
    ".shares/shares/0a/id/picture.jpg",
    ".venv/bin/python",
    ".venv/lib/python3.13/site-packages/flask/app.py",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "__pycache__/main.cpython-313.pyc",
    "bench/pipeline.py",
    "client.js",
    "deploy.env",
    "deploy.env.example",
    "docs/operations.md",
    "docs/web/index.html",
    "fonts/README.md",
    "holiday.jpg",
    "key.json",
    "lifecycle.json",
    "package.json",
    "pyproject.toml",
    "requirements-dev.txt",
    "scripts/serve",
    "scripts/verify.py",
    "shares/0a/id/picture.jpg",
    "src/main.py",
    "serving/templates/.page.html.swp",
    "serving/templates/__pycache__/filters.cpython-313.pyc",
    "tests/data/photo.jpg",
    "tests/fonts/Script.ttf",
    "tests/test_main.py",
    "venv/lib/main.py",
    "web/.DS_Store",
    "web/img/.env",
    "web/old.pyc",
    "web/package.json",
]


def write(root: Path, *names: str) -> None:
    """Write files whose contents are their names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a working tree that holds all that may lie about, and the committed ignore file."""
    root = tmp_path / "tree"
    write(root, *PROGRAM, *OTHERS)
    shutil.copy(ROOT / deployed.IGNORE_FILE, root)
    return root


def digest(root: Path) -> str:
    return deployed.source_digest(deployed.digests(root))


def unpack_upload(tree: Path, target: Path) -> Path:
    """Copy what is uploaded from a tree to a folder of its own, as the build finds it."""
    for name in PROGRAM:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / name, target / name)
    return target


def test_the_program_is_deployed_and_nothing_else(tree: Path) -> None:
    assert list(deployed.digests(tree)) == PROGRAM


def test_digests_are_the_sha_256_of_the_bytes(tree: Path) -> None:
    (tree / "main.py").write_bytes(b"abc")
    # The test vector of FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert deployed.digests(tree)["main.py"] == expected


def test_the_deployed_folder_has_the_digests_of_its_tree(tree: Path, tmp_path: Path) -> None:
    assert deployed.digests(unpack_upload(tree, tmp_path / "deployed")) == deployed.digests(tree)


def test_compiling_the_deployed_folder_keeps_its_digest(tree: Path, tmp_path: Path) -> None:
    deployed = unpack_upload(tree, tmp_path / "deployed")
    before = digest(deployed)
    compileall.compile_dir(deployed, quiet=2)
    compileall.compile_dir(deployed, quiet=2, legacy=True)
    write(deployed, "main.pyc", "web/__pycache__/x.cpython-313.pyc", "__pycache__/x")
    assert digest(deployed) == before


def test_what_the_platform_hides_in_the_deployed_folder_does_not_count(
    tree: Path, tmp_path: Path
) -> None:
    deployed = unpack_upload(tree, tmp_path / "deployed")
    before = digest(deployed)
    write(deployed, ".googlebuild/source-code.tgz", ".profile")
    assert digest(deployed) == before


def test_a_file_too_many_in_the_deployed_folder_changes_its_digest(
    tree: Path, tmp_path: Path
) -> None:
    deployed = unpack_upload(tree, tmp_path / "deployed")
    write(deployed, "tests/test_main.py")
    assert digest(deployed) != digest(tree)


@pytest.mark.parametrize("name", PROGRAM)
def test_one_changed_byte_of_a_deployed_file_changes_the_digest(tree: Path, name: str) -> None:
    before = digest(tree)
    content = (tree / name).read_bytes()
    (tree / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert digest(tree) != before


@pytest.mark.parametrize("name", PROGRAM)
def test_a_removed_file_changes_the_digest(tree: Path, name: str) -> None:
    before = digest(tree)
    (tree / name).unlink()
    assert digest(tree) != before


@pytest.mark.parametrize("name", ["added.py", "web/added.css", "serving/templates/parts/added"])
def test_an_added_file_changes_the_digest(tree: Path, name: str) -> None:
    before = digest(tree)
    (tree / name).touch()
    assert digest(tree) != before


def test_a_renamed_file_changes_the_digest(tree: Path) -> None:
    before = digest(tree)
    (tree / "web/index.html").rename(tree / "web/index.htm")
    assert digest(tree) != before


def test_exchanged_contents_change_the_digest(tree: Path) -> None:
    before = digest(tree)
    (tree / "main.py").write_text("shares.py", encoding="utf-8")
    (tree / "shares.py").write_text("main.py", encoding="utf-8")
    assert digest(tree) != before


@pytest.mark.parametrize("name", OTHERS)
def test_files_that_are_not_deployed_leave_the_digest_alone(tree: Path, name: str) -> None:
    before = digest(tree)
    with (tree / name).open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert digest(tree) == before
    if name != deployed.IGNORE_FILE:
        (tree / name).unlink()
        assert digest(tree) == before


def test_the_digest_does_not_depend_on_the_order_of_names() -> None:
    pairs = [("a", "1"), ("b", "2"), ("a/b", "3")]
    assert len({deployed.source_digest(dict(p)) for p in itertools.permutations(pairs)}) == 1


def test_names_and_digests_do_not_run_together() -> None:
    assert deployed.source_digest({"ab": "c"}) != deployed.source_digest({"a": "bc"})
    assert deployed.source_digest({"a": "b\nc  d"}) != deployed.source_digest({"a": "b", "d": "c"})


def test_a_name_that_is_no_text_has_a_digest(tree: Path) -> None:
    before = digest(tree)
    Path(os.fsdecode(os.fsencode(tree) + b"/web/caf\xe9.html")).touch()
    assert digest(tree) != before


def test_this_tree_deploys_its_modules_and_no_development_file() -> None:
    found = deployed.digests(ROOT)
    assert {path.name for path in ROOT.glob("*.py")} | {"requirements.txt"} <= set(found)
    assert {name.partition("/")[0] for name in found if "/" in name} <= {
        "config",
        "fonts",
        "imaging",
        "moderation",
        "serving",
        "stores",
        "web",
    }


@pytest.mark.parametrize("line", ["!/tests", "#!include:.gitignore", "# !include:x", "!."])
def test_an_ignore_file_that_says_more_is_refused(tree: Path, line: str) -> None:
    """Else gcloud would upload other files than those with a digest."""
    with (tree / deployed.IGNORE_FILE).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    with pytest.raises(ValueError, match=r"^\.gcloudignore says other patterns"):
        deployed.digests(tree)


# What gcloud itself does: run by its own modules alone, as JSON in and out.
GCLOUD_CODE = """
import json, os, sys
question = json.load(sys.stdin)
sys.path[:0] = [question["lib"], question["lib"] + "/third_party"]
from googlecloudsdk.api_lib.cloudbuild import snapshot
from googlecloudsdk.command_lib.functions import source_util
from googlecloudsdk.command_lib.util import gcloudignore
answer = {}
os.mkdir(question["archives"])
answer["functions deploy"] = source_util.CreateSourcesZipFile(
    question["archives"], question["tree"])
os.chdir(question["tree"])
answer["run deploy"] = question["archives"] + "/run.zip"
snapshot.Snapshot(question["tree"])._MakeZipFile(answer["run deploy"])
chooser = gcloudignore.GetFileChooserForDir(question["tree"], write_on_disk=False)
answer["list"] = list(chooser.GetIncludedFiles(question["tree"], include_dirs=False))
print(json.dumps(answer))
"""


def ask_gcloud(config: Path, **question: object) -> dict[str, Any]:
    """Return what gcloud's own code answers; skip the test where it is not installed."""
    answer: dict[str, Any] = gcloud_code.run(GCLOUD_CODE, config, **question)
    return answer


def scatter(tree: Path, randomness: random.Random) -> None:
    """Write 600 files more, at random places, under names that patterns of the file aim at."""
    names = [
        "main.py",
        "x.py",
        ".x",
        "x.md",
        "x.pyc",
        "__pycache__",
        "key.json",
        "y z.txt",
        "é.svg",
    ]
    folders = ["web", "templates", "fonts", "tests", "docs", "d", "web.py", ".ci", "__pycache__"]
    for _ in range(600):
        parts = randomness.choices([*folders, "sub"], k=randomness.randrange(4))
        path = tree.joinpath(*parts, randomness.choice(names))
        if not path.is_dir() and not any(above.is_file() for above in path.parents):
            write(tree, path.relative_to(tree).as_posix())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gcloud_uploads_exactly_the_files_with_a_digest(
    tree: Path, tmp_path: Path, seed: int
) -> None:
    scatter(tree, random.Random(seed))
    (tree / "web/linked.html").symlink_to("../key.json")
    (tree / "web/linked").symlink_to("../tests")

    answer = ask_gcloud(tmp_path, tree=str(tree), archives=str(tmp_path / "archives"))

    expected = deployed.digests(tree)
    for command in ("functions deploy", "run deploy"):
        with zipfile.ZipFile(answer[command]) as archive:
            archive.extractall(tmp_path / command)
        assert deployed.digests(tmp_path / command) == expected, command
    # The listing follows links to folders; the two uploads do not.
    listed = {name for name in answer["list"] if not name.startswith("web/linked/")}
    assert listed == set(expected)
