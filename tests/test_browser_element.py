"""What <share-image-button> promises a customer: every way in and out, and no mouse needed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pictures
import pytest
from browser import Watch, axe
from function_server import FunctionServer, serve
from playwright.sync_api import expect
from storefront import NETWORKS, Storefront, answers, dies, hangs

from serving.languages import pick

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page, Route

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def function(
    tmp_path_factory: pytest.TempPathFactory, storefront_server: Storefront
) -> Iterator[FunctionServer]:
    allowed = {"ALLOWED_ORIGINS": storefront_server.url}
    with serve(tmp_path_factory.mktemp("function"), allowed) as running:
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser whose networks are empty pages: no test leaves this machine."""
    opened = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    opened.route(re.compile(r"^https://"), _empty_page)
    yield opened
    opened.close()


def _empty_page(route: Route) -> None:
    route.fulfill(body="<title>A network</title>", content_type="text/html")


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Page:
    return context.new_page()


@pytest.fixture
def shop(page: Page, storefront: Storefront, function: FunctionServer) -> Page:
    """A page of the shop under a strict policy, with the element of the real function."""
    page.goto(storefront.page(function.url))
    return page


@pytest.fixture
def scripted(page: Page, storefront: Storefront) -> Page:
    """The same page where the storefront plays the function."""
    page.add_init_script("Math.random = () => -0.9;")  # short pauses between tries
    page.goto(storefront.page())
    return page


@pytest.fixture(scope="module")
def photo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "luna.jpg"
    path.write_bytes(pictures.photo_jpeg((800, 600)))
    return path


def choose(page: Page, path: Path) -> None:
    page.locator("share-image-button input").set_input_files(path)


def state(page: Page, expected: str) -> None:
    expect(page.locator("share-image-button")).to_have_attribute("state", expected, timeout=15_000)


def links(page: Page) -> list[str]:
    found: list[str] = page.locator("share-image-button [part=network]").evaluate_all(
        "all => all.map((each) => each.href ?? '')"
    )
    return found


# ---- ways in


def test_a_chosen_file_is_shared_under_a_strict_policy(
    shop: Page, watch: Watch, photo_file: Path
) -> None:
    state(shop, "idle")
    choose(shop, photo_file)
    state(shop, "ready")
    hosts = [httpx.URL(link).host for link in links(shop)[:-1]]
    assert [host.removeprefix("www.").split(".")[0] for host in hosts] == [
        *("facebook", "x", "threads", "bsky", "pinterest"),
        *("linkedin", "wa", "t", "reddit"),
    ]
    assert links(shop)[-1].startswith("mailto:")
    expect(shop.get_by_role("img", name="The picture that will be shared")).to_be_visible()
    assert watch.complaints == []


def test_the_element_fetches_tokens_where_its_attribute_says(
    page: Page, storefront: Storefront, photo_file: Path
) -> None:
    storefront.tokens.extend(["first", "second"])
    page.goto(storefront.page(attributes='token-url="/apps/share/token"'))
    choose(page, photo_file)
    state(page, "ready")
    page.evaluate("document.querySelector('share-image-button').token = () => 'its own'")
    choose(page, photo_file)
    page.wait_for_function("document.querySelector('share-image-button').tokenUrl")
    state(page, "ready")
    sent = [posted.headers["Authorization"] for posted in storefront.posts]
    assert sent == ["Bearer first", "Bearer its own"]


def test_a_file_dropped_from_the_desktop_is_shared(shop: Page, photo_file: Path) -> None:
    zone = shop.locator("share-image-button [part=zone]").bounding_box()
    assert zone is not None
    session = shop.context.new_cdp_session(shop)
    data = {"items": [], "files": [str(photo_file)], "dragOperationsMask": 1}
    place = {"x": zone["x"] + zone["width"] / 2, "y": zone["y"] + 9, "data": data}
    for kind in ("dragEnter", "dragOver"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place})
    expect(shop.locator("[part=zone].over")).to_have_count(1)
    session.send("Input.dispatchDragEvent", {"type": "drop", **place})
    state(shop, "ready")
    expect(shop.locator("[part=zone].over")).to_have_count(0)


COPY_A_PICTURE = """async () => {
  const canvas = new OffscreenCanvas(40, 30);
  canvas.getContext("2d").fillRect(0, 0, 40, 30);
  const blob = await canvas.convertToBlob();
  await navigator.clipboard.write([new ClipboardItem({[blob.type]: blob})]);
}"""


def test_a_pasted_picture_is_shared(shop: Page) -> None:
    shop.evaluate(COPY_A_PICTURE)
    shop.keyboard.press("Control+v")
    state(shop, "ready")


def test_what_is_pasted_into_a_text_field_is_left_alone(shop: Page) -> None:
    shop.evaluate(COPY_A_PICTURE)
    shop.get_by_label("Note").focus()
    shop.keyboard.press("Control+v")
    shop.wait_for_timeout(200)
    state(shop, "idle")


def test_of_several_elements_one_takes_what_is_pasted(shop: Page) -> None:
    shop.evaluate(
        "document.querySelector('main').append(document.createElement('share-image-button'))"
    )
    shop.evaluate(COPY_A_PICTURE)
    shop.keyboard.press("Control+v")
    shop.locator("share-image-button[state=ready]").wait_for()
    assert shop.locator("share-image-button[state=idle]").count() == 1


def test_a_script_may_share_a_canvas(shop: Page) -> None:
    shop.evaluate("""() => {
        const canvas = document.createElement("canvas");
        canvas.getContext("2d").fillRect(0, 0, 300, 150);
        window.events = [];
        for (const type of ["share-start", "share-ready"]) {
          document.addEventListener(type, ({detail}) => events.push([type, detail.share_id]));
        }
        return document.querySelector("share-image-button").share(canvas);
    }""")
    state(shop, "ready")
    (first, second) = shop.evaluate("events")
    assert first[0] == "share-start"
    assert second[0] == "share-ready"
    assert second[1] in links(shop)[0]


# ---- on the way


def test_progress_grows_on_a_slow_connection(shop: Page, tmp_path: Path) -> None:
    slow = tmp_path / "slow.png"
    slow.write_bytes(pictures.photo_png((560, 420)))
    size = slow.stat().st_size
    assert 300_000 < size < 1_000_000
    session = shop.context.new_cdp_session(shop)
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": size / 2},
    )
    shop.evaluate("""() => {
        window.seen = [], window.said = [];
        const {shadowRoot} = document.querySelector("share-image-button");
        const [bar, status] = ["progress", "[role=status]"].map((s) => shadowRoot.querySelector(s));
        new MutationObserver(() => {
          if (bar.hasAttribute("value")) seen.push(bar.value);
          if (status.textContent !== said.at(-1)) said.push(status.textContent);
        }).observe(shadowRoot, {subtree: true, attributes: true, childList: true});
    }""")
    choose(shop, slow)
    state(shop, "ready")
    seen, said = shop.evaluate("[seen, said]")
    assert len(set(seen)) >= 4
    assert seen == sorted(seen)
    assert 0 < seen[0] < 0.7
    uploading = [text for text in said if text.startswith("Uploading")]
    assert 2 <= len(uploading) <= 5  # in quarters: each one is read out
    assert said[-2:] == ["Almost there…", "Ready. Where shall it go?"]


@pytest.mark.parametrize("network", ["facebook", "whatsapp"])
def test_a_window_opened_while_the_upload_runs_waits_for_it(
    scripted: Page, storefront: Storefront, photo_file: Path, network: str
) -> None:
    storefront.script.append(hangs)
    choose(scripted, photo_file)
    state(scripted, "busy")
    with scripted.expect_popup() as opening:
        scripted.locator("[part=network]").nth(NETWORKS.index(network)).click()
    popup = opening.value
    assert popup.url == "about:blank"
    expect(popup.locator("body")).to_have_text("Your picture is on its way…")
    storefront.release.set()
    popup.wait_for_url(re.compile(f"^https://{network}.example/share"))
    assert popup.evaluate("window.opener") is None
    state(scripted, "ready")


def test_a_window_that_waits_in_vain_is_closed(
    scripted: Page, storefront: Storefront, photo_file: Path
) -> None:
    storefront.script.append(hangs)
    choose(scripted, photo_file)
    with scripted.expect_popup() as opening:
        scripted.get_by_role("button", name="Threads").click()
    with opening.value.expect_event("close"):
        scripted.get_by_role("button", name="Cancel").click()
    state(scripted, "idle")


def test_a_blocked_window_leaves_the_link(
    scripted: Page, storefront: Storefront, photo_file: Path
) -> None:
    scripted.evaluate("window.open = () => null")
    storefront.script.append(hangs)
    choose(scripted, photo_file)
    scripted.get_by_role("button", name="Threads").click()
    storefront.release.set()
    state(scripted, "ready")
    expect(scripted.get_by_role("status")).to_contain_text("blocked")
    link = scripted.get_by_role("link", name="Threads")
    expect(link).to_be_focused()
    with scripted.expect_popup() as opening:
        link.click()
    opening.value.wait_for_url(re.compile("^https://threads"))


def test_canceling_ends_the_upload_and_keeps_the_focus(
    scripted: Page, storefront: Storefront, photo_file: Path
) -> None:
    storefront.script.append(hangs)
    choose(scripted, photo_file)
    cancel = scripted.get_by_role("button", name="Cancel")
    cancel.focus()
    scripted.keyboard.press("Enter")
    state(scripted, "idle")
    expect(scripted.get_by_role("status")).to_have_text("Canceled.")
    expect(scripted.locator("input[type=file]")).to_be_focused()


def test_another_picture_replaces_the_one_on_its_way(
    scripted: Page, storefront: Storefront, photo_file: Path
) -> None:
    scripted.evaluate("document.addEventListener('share-failed', () => { window.failed = true })")
    storefront.script.append(hangs)
    choose(scripted, photo_file)
    scripted.wait_for_timeout(300)
    choose(scripted, photo_file)
    state(scripted, "ready")
    storefront.release.set()
    first, second = [posted.key for posted in storefront.posts]
    scripted.wait_for_timeout(200)
    assert second in links(scripted)[0]
    assert first not in links(scripted)[0]
    assert not scripted.evaluate("window.failed")


# ---- ways out


@pytest.mark.parametrize("network", NETWORKS[:-1])
def test_every_network_opens_its_form(shared: Page, network: str) -> None:
    link = shared.locator("[part=network]").nth(NETWORKS.index(network))
    expected = link.get_attribute("href")
    with shared.expect_popup() as opening:
        link.click()
    opening.value.wait_for_url(lambda url: url.partition("?")[0] == str(expected).partition("?")[0])
    assert opening.value.evaluate("window.opener") is None
    opening.value.close()


@pytest.fixture(scope="module")
def shared(
    browser: Browser, storefront_server: Storefront, function: FunctionServer, photo_file: Path
) -> Iterator[Page]:
    """A page that has shared a picture, for tests that leave it as it is."""
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        context.route(re.compile(r"^https://"), _empty_page)
        page = context.new_page()
        page.goto(storefront_server.page(function.url))
        choose(page, photo_file)
        state(page, "ready")
        yield page


def test_the_link_is_copied_by_its_button(shared: Page) -> None:
    shared.bring_to_front()
    shared.get_by_role("button", name="Copy link").click()
    expect(shared.get_by_role("status")).to_have_text("Copied.")
    assert re.search(r"/s/[0-9a-f-]{36}$", shared.evaluate("navigator.clipboard.readText()"))


def test_the_picture_is_copied_by_its_button(shared: Page) -> None:
    shared.bring_to_front()
    shared.get_by_role("button", name="Copy picture").click()
    expect(shared.get_by_role("status")).to_have_text("Copied.")
    types = shared.evaluate("navigator.clipboard.read().then(([item]) => item.types)")
    assert types == ["image/png"]


def test_the_picture_is_saved_by_its_button(shared: Page) -> None:
    with shared.expect_download() as saving:
        shared.get_by_role("button", name="Download").click()
    assert saving.value.suggested_filename == "Fur-Co.jpg"


def test_the_share_is_deleted_by_its_button(shop: Page, photo_file: Path) -> None:
    choose(shop, photo_file)
    state(shop, "ready")
    page_url = httpx.URL(links(shop)[0]).params["u"]
    assert httpx.get(page_url).status_code == 200
    shop.get_by_role("button", name="Delete").click()
    state(shop, "idle")
    expect(shop.get_by_role("status")).to_have_text("The picture is deleted.")
    assert httpx.get(page_url).status_code == 410


# ---- when it fails


@pytest.mark.parametrize(
    ("script", "text", "may_retry"),
    [
        ([dies] * 9, "There is no connection. Please try again.", True),
        ([answers(503)] * 4, "Sharing does not work right now. Please try again later.", True),
        (
            [answers(429, Retry_After="3600")],
            "Too many pictures. Please try again later.",
            True,
        ),
        (
            [
                answers(
                    400,
                    {"detail": "File too large for sharing (max 5MB)", "code": "file_too_large"},
                )
            ],
            "The picture is too large: 5MB at most.",
            False,
        ),
        ([answers(422, {"detail": [], "code": "y"})], "The picture could not be shared.", False),
        ([answers(500, "<h1>oops</h1>")], "The picture could not be shared.", False),
    ],
)
def test_a_failure_is_told_in_words(
    scripted: Page,
    storefront: Storefront,
    photo_file: Path,
    script: list[Any],
    text: str,
    may_retry: bool,
) -> None:
    storefront.script.extend(script)
    choose(scripted, photo_file)
    state(scripted, "failed")
    expect(scripted.get_by_role("alert")).to_have_text(text)
    again = scripted.get_by_role("button", name="Try again")
    expect(again).to_have_count(int(may_retry))
    assert axe(scripted) == []


def test_trying_again_sends_the_same_picture(
    scripted: Page, storefront: Storefront, photo_file: Path
) -> None:
    storefront.script.append(answers(429, Retry_After="3600"))
    choose(scripted, photo_file)
    scripted.get_by_role("button", name="Try again").click()
    state(scripted, "ready")
    expect(scripted.get_by_role("alert")).to_have_text("")
    assert storefront.posts[0].file == storefront.posts[1].file


def test_a_file_that_is_no_picture_is_refused_with_what_may_come(
    shop: Page, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.4 no picture")
    choose(shop, letter)
    state(shop, "failed")
    expect(shop.get_by_role("alert")).to_have_text(
        "Only JPEG/PNG/WEBP/GIF/AVIF/HEIC can be shared."
    )


# ---- for everybody


def test_the_whole_way_needs_no_mouse(shop: Page, photo_file: Path) -> None:
    # Chromium is told to hand over its choosers before the key, not in a race with it.
    shop.on("filechooser", lambda _chooser: None)
    shop.keyboard.press("Tab")
    expect(shop.get_by_label("Share a picture")).to_be_focused()
    with shop.expect_file_chooser() as choosing:
        shop.keyboard.press("Enter")
    choosing.value.set_files(photo_file)
    state(shop, "ready")
    expect(shop.get_by_role("link", name="Facebook")).to_be_focused()
    with shop.expect_popup() as opening:
        shop.keyboard.press("Enter")
    opening.value.close()
    for _ in NETWORKS:
        shop.keyboard.press("Tab")
    expect(shop.get_by_role("button", name="Copy link")).to_be_focused()
    shop.keyboard.press("Enter")
    expect(shop.get_by_role("status")).to_have_text("Copied.")


def test_what_will_be_read_out_has_its_place_from_the_start(scripted: Page) -> None:
    """A live region that appears together with its words stays silent in some screen readers."""
    expect(scripted.get_by_role("status")).to_have_text("")
    expect(scripted.get_by_role("alert")).to_have_text("")


LOOKS: list[dict[str, Any]] = [
    {"color_scheme": "light", "forced_colors": "none"},
    {"color_scheme": "dark", "forced_colors": "none"},
    {"color_scheme": "dark", "forced_colors": "active"},
]


def findings(page: Page) -> list[str]:
    """Return what axe finds in light, in dark and in forced colors."""
    found = []
    for look in LOOKS:
        page.emulate_media(**look)
        found += axe(page)
    return found


@pytest.mark.parametrize(("lang", "direction"), [("en", "ltr"), ("de", "rtl")])
def test_it_is_accessible_in_every_state_and_look(
    page: Page, storefront: Storefront, photo_file: Path, lang: str, direction: str
) -> None:
    page.goto(storefront.page(lang=lang))
    page.evaluate("(dir) => { document.documentElement.dir = dir }", direction)
    texts = pick(lang).client
    expect(page.get_by_label(texts["choose"], exact=True)).to_be_attached()
    assert findings(page) == []
    storefront.script.append(hangs)
    choose(page, photo_file)
    state(page, "busy")
    expect(page.get_by_role("progressbar", name=texts["progress"])).to_be_visible()
    assert findings(page) == []
    storefront.release.set()
    state(page, "ready")
    assert findings(page) == []
    storefront.script.append(answers(429, Retry_After="3600"))
    choose(page, photo_file)
    state(page, "failed")
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_every_text_can_be_replaced(page: Page, storefront: Storefront, photo_file: Path) -> None:
    german = (
        'label-choose="Bild teilen" label-ready="Fertig." label-email="E-Mail" networks="email x"'
    )
    page.goto(storefront.page(attributes=german))
    expect(page.get_by_label("Bild teilen")).to_be_attached()
    choose(page, photo_file)
    expect(page.get_by_role("status")).to_have_text("Fertig.")
    assert page.locator("[part=network]").all_inner_texts() == ["E-Mail", "X"]


def test_attributes_decide_what_is_sent(
    page: Page, storefront: Storefront, photo_file: Path
) -> None:
    page.goto(storefront.page(attributes='platform="pinterest" effect-type="pop" fit="cover"'))
    choose(page, photo_file)
    state(page, "ready")
    assert storefront.posts[0].fields == {
        "platform": "pinterest",
        "effect_type": "pop",
        "fit": "cover",
        "lang": "en",
    }


def test_an_element_that_leaves_the_page_stops_its_upload(
    scripted: Page, storefront: Storefront, photo_file: Path
) -> None:
    storefront.script.append(hangs)
    choose(scripted, photo_file)
    state(scripted, "busy")
    with scripted.expect_event("requestfailed"):
        scripted.evaluate("document.querySelector('share-image-button').remove()")
