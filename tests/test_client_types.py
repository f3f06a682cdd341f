"""The client for those who bundle: its types, its npm package, and the frameworks' snippets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from function_server import ROOT
from npm import MODULES, bundle, tsc
from playwright.sync_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser
    from storefront import Storefront

pytestmark = pytest.mark.slow

WEB = ROOT / "web"
TYPES = (WEB / "share-image.d.ts").read_text("utf-8")
GUIDE = (ROOT / "docs" / "storefront.md").read_text("utf-8")
SCHEMAS: dict[str, Any] = json.loads((ROOT / "openapi.json").read_text())["components"]["schemas"]

GOOD = """
import { ShareError, copyLink, deleteShare, openShare, shareImage, warmUp } from "share-image";
import type { Network, Share } from "share-image";

const element = document.querySelector("share-image-button")!;
element.platform = "pinterest";
element.fit = "cover";
element.addEventListener("share-ready", ({ detail }) => detail.links.whatsapp.toUpperCase());
element.addEventListener("share-failed", ({ detail }) => detail.retryAfter?.toFixed());
const made: Promise<Share> = element.share(document.createElement("canvas"), { chooser: true });

async function all(file: File, control: AbortController, list: FileList, image: ImageBitmap) {
  await warmUp("https://function.example");
  const share = await shareImage(file, {
    platform: "x",
    onProgress: ({ stage, progress }) => console.log(stage.length, progress.toFixed()),
    signal: control.signal,
  });
  for (const picture of [list, image, "data:image/png;base64,AA" as const]) shareImage(picture);
  const opened: boolean = await openShare("email" satisfies Network, made);
  await copyLink(share);
  await deleteShare(share, { endpoint: "/" });
  try { await made; } catch (error) { if (error instanceof ShareError) return error.code; }
  return [opened, share.content_type satisfies "image/jpeg", share.bytes.toFixed()];
}
all;
"""
BAD = [
    "shareImage(null)",
    "shareImage('cat.jpg')",
    "shareImage(new Blob(), { fit: 'stretch' })",
    "openShare('myspace', shareImage(new Blob()))",
    "document.querySelector('share-image-button')!.platform = 1",
]
STRICT = {
    "compilerOptions": {
        "strict": True,
        "target": "es2022",
        "module": "nodenext",
        "lib": ["es2022", "dom", "dom.iterable"],
        "types": [],
        "jsx": "react-jsx",
        "skipLibCheck": False,
        "noUnusedLocals": True,
    }
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed what npm pack makes of web/."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("project")
    command = ["npm", "pack", str(WEB), "--pack-destination", str(folder), "--json"]
    packed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
    (made,) = json.loads(packed)
    assert {file["path"] for file in made["files"]} == {
        *("package.json", "share-image.js", "share-image.d.ts"),
    }
    shutil.unpack_archive(folder / made["filename"], folder, format="gztar")
    modules = folder / "node_modules"
    modules.mkdir()
    (folder / "package").rename(modules / "share-image")
    for name in ("@types", "csstype"):
        if (MODULES / name).exists():
            (modules / name).symlink_to(MODULES / name)
    (folder / "tsconfig.json").write_text(json.dumps(STRICT))
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def complaints(package: Path, name: str, source: str) -> str:
    """Return what the compiler says of one more file in the project, which is then taken out."""
    path = package / name
    path.write_text(source)
    try:
        return tsc(package)
    finally:
        path.unlink()


def test_a_project_compiles_with_all_that_the_types_promise(package: Path) -> None:
    assert complaints(package, "good.ts", GOOD) == ""


def test_what_cannot_work_does_not_compile(package: Path) -> None:
    source = "import { openShare, shareImage } from 'share-image';\n" + ";\n".join(BAD)
    lines = re.findall(r"^bad\.ts\((\d+),", complaints(package, "bad.ts", source), re.MULTILINE)
    assert sorted(set(map(int, lines)) - {1}) == [*range(2, len(BAD) + 2)]


def test_an_import_by_address_has_types_too(package: Path) -> None:
    """As docs/storefront.md sets it up."""
    options = json.loads(snippet("json"))["compilerOptions"]
    use = 'import { shareImage } from "https://FUNCTION/share-image.js";\n'
    shutil.copy(WEB / "share-image.d.ts", package)
    config = {"compilerOptions": STRICT["compilerOptions"] | options}
    (package / "tsconfig.json").write_text(json.dumps(config))
    try:
        assert complaints(package, "use.ts", use + "shareImage(new Blob());") == ""
        assert "null" in complaints(package, "use.ts", use + "shareImage(null);")
    finally:
        (package / "share-image.d.ts").unlink()
        (package / "tsconfig.json").write_text(json.dumps(STRICT))


def test_the_types_name_every_field_of_the_answer_and_every_network() -> None:
    share = re.search(r"interface Share \{(.*?)^\}", TYPES, re.MULTILINE | re.DOTALL)
    networks = re.search(r"type Network =(.*?);", TYPES, re.DOTALL)
    assert share
    assert networks
    properties = SCHEMAS["Share"]["properties"]
    assert set(re.findall(r"^  (\w+)\??:", share[1], re.MULTILINE)) == set(properties)
    assert set(re.findall(r'"(\w+)"', networks[1])) == set(properties["links"]["properties"])


def test_the_types_name_all_that_the_module_exports() -> None:
    source = (WEB / "share-image.js").read_text("utf-8")
    pattern = r"^export (?:async )?(?:function|class|const) (\w+)"
    exported = set(re.findall(pattern, source, re.MULTILINE))
    assert set(re.findall(pattern, TYPES, re.MULTILINE)) == exported


def test_the_package_is_of_the_same_version_as_the_function() -> None:
    version = json.loads((WEB / "package.json").read_text())["version"]
    assert f'VERSION = "{version}"' in (ROOT / "config" / "__init__.py").read_text()


# ---- frameworks


def snippet(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert found, language
    return found[1]


def test_the_react_snippet_compiles(package: Path) -> None:
    assert complaints(package, "Button.tsx", snippet("tsx")) == ""


REACT = """
import { createRoot } from "react-dom/client";
createRoot(document.querySelector("main")).render(<ShareButton onShared={show} />);
"""
VUE = """
import { createApp, h } from "vue/dist/vue.esm-bundler.js";
const app = createApp({ template: TEMPLATE, setup: () => ({ shared: show }) });
app.config.compilerOptions.isCustomElement = (tag) => tag === "share-image-button";
app.mount("main");
"""


@pytest.mark.parametrize("framework", ["react", "vue"])
def test_a_framework_shares_as_documented(
    browser: Browser, storefront: Storefront, package: Path, framework: str
) -> None:
    """With the package, bundled."""
    code = (
        snippet("tsx") + REACT
        if framework == "react"
        else f'import "share-image";\nconst TEMPLATE = `{template()}`;{VUE}'
    )
    client = package / "node_modules" / "share-image" / "share-image.js"
    code = bundle(code.replace("https://FUNCTION", storefront.url), f"--alias:share-image={client}")
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        page.route("**/share-image.js", lambda route: route.abort())  # of the page: not that one
        page.goto(storefront.page())
        page.evaluate("""() => {
            window.show = (share) => { window.share = share };
            window.canvas = Object.assign(document.createElement("canvas"), {id: "art"});
            canvas.getContext("2d").fillRect(0, 0, 99, 99);
            document.body.append(canvas);
        }""")
        page.add_script_tag(content=code, type="module")
        page.get_by_role("button", name="Share this picture").click()
        page.wait_for_function("window.share")
        button = page.locator("share-image-button")
        expect(button).to_have_attribute("platform", "pinterest")
        assert storefront.posts[0].fields["platform"] == "pinterest"


def template() -> str:
    found = re.search(r"<template>\n(.*?)</template>", snippet("vue"), re.DOTALL)
    assert found
    return found[1]
