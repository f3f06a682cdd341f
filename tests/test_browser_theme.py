"""What a theme's developer expects of <share-image-button>: that it fits into any page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pictures
import pytest
from function_server import FunctionServer, serve
from playwright.sync_api import expect
from storefront import Storefront, answers, hangs

from serving.languages import pick

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser import Watch
    from playwright.sync_api import Browser, BrowserContext, Page, Route

pytestmark = pytest.mark.slow

DRAW = """() => {
  const canvas = Object.assign(document.createElement("canvas"), {id: "art", width: 300});
  canvas.getContext("2d").fillRect(0, 0, 300, 150);
  document.querySelector("main").append(canvas);
}"""
ELEMENT = "document.querySelector('share-image-button')"


@pytest.fixture(scope="module")
def function(
    tmp_path_factory: pytest.TempPathFactory, storefront_server: Storefront
) -> Iterator[FunctionServer]:
    allowed = {"ALLOWED_ORIGINS": storefront_server.url}
    with serve(tmp_path_factory.mktemp("function"), allowed) as running:
        yield running


@pytest.fixture
def page(context: BrowserContext, storefront: Storefront) -> Page:
    opened = context.new_page()
    opened.goto(storefront.page())
    opened.evaluate(DRAW)
    return opened


def state(page: Page, expected: str) -> None:
    expect(page.locator("share-image-button")).to_have_attribute("state", expected, timeout=15_000)


def share(page: Page) -> None:
    page.evaluate(f"{ELEMENT}.share(document.querySelector('#art'))")
    state(page, "ready")


def names(page: Page) -> list[str]:
    """Return the names of all that can be clicked, in the order of the page."""
    return page.locator("share-image-button :is(a, button, label):visible").all_inner_texts()


# ---- a wrong origin


def test_a_page_of_a_wrong_origin_says_what_is_wrong(
    context: BrowserContext, storefront: Storefront, function: FunctionServer
) -> None:
    """To the customer in a sentence, to the developer with the setting that mends it."""
    said: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.goto(storefront.page(function.url, host="localhost", lang="de"))
    page.evaluate(DRAW)
    page.evaluate(f"{ELEMENT}.share(document.querySelector('#art')).catch(() => {{}})")
    state(page, "failed")
    sentence = pick("de").client["error-origin_not_allowed"]
    expect(page.get_by_role("alert")).to_have_text(sentence)
    origin, address = f"http://localhost:{storefront.port}", f"{function.url}/api/v2/share-image"
    assert f"share-image: {origin} is not in ALLOWED_ORIGINS of {address}" in said


# ---- what comes first


def test_on_a_desk_the_networks_and_the_link_come_first(page: Page) -> None:
    page.evaluate(f"{ELEMENT}.setAttribute('networks', 'x email')")
    share(page)
    assert names(page) == ["X", "Email", "Copy link", "Copy picture", "Download", "Delete"]
    assert page.locator("[part~=primary]").all_inner_texts() == ["Copy link"]
    assert page.locator("[part=network] svg").count() == 2


def test_on_a_phone_its_share_sheet_comes_first(browser: Browser, storefront: Storefront) -> None:
    with browser.new_context(has_touch=True, is_mobile=True) as context:
        context.add_init_script("""
            navigator.canShare = () => true;
            navigator.share = async (data) => { window.given = Object.keys(data) };""")
        page = context.new_page()
        page.route("**/*.jpg", lambda route: route.fulfill(body=b"x", content_type="image/jpeg"))
        page.goto(storefront.page(attributes='networks="x"'))
        page.evaluate(DRAW)
        expect(page.locator("[part=hint]")).to_be_hidden()
        share(page)
        assert names(page) == ["Share…", "X", "Copy link", "Copy picture", "Download", "Delete"]
        assert page.locator("[part~=primary]").all_inner_texts() == ["Share…"]
        page.get_by_role("button", name="Share…").click()
        page.wait_for_function("window.given")
        assert page.evaluate("given") == ["files"]


def test_networks_that_are_unknown_are_named_and_left_out(
    page: Page, storefront: Storefront
) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(storefront.page(attributes='networks="myspace x orkut"'))
    page.evaluate(DRAW)
    share(page)
    assert names(page)[:2] == ["X", "Copy link"]
    assert said == ["share-image: no network: myspace, orkut"]


# ---- pages that have the picture


def test_a_page_that_has_the_picture_needs_one_button(page: Page, storefront: Storefront) -> None:
    page.evaluate(f"{ELEMENT}.for = '#art'")
    expect(page.locator("share-image-button :is(a, button, label):visible")).to_have_text(
        ["Share this picture"]
    )
    page.get_by_role("button", name="Share this picture").click()
    state(page, "ready")
    assert storefront.posts[0].filename == "Fur-Co.jpg"
    assert page.locator("input[type=file]").is_hidden()


def test_a_page_that_has_no_such_picture_is_told(page: Page) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.evaluate(f"{ELEMENT}.for = '#nothing'")
    page.get_by_role("button", name="Share this picture").click()
    state(page, "failed")
    assert "#nothing" in said[0]


def test_where_the_page_shares_its_own_there_is_no_chooser(page: Page) -> None:
    share(page)
    assert page.locator("input[type=file]").is_hidden()
    assert page.locator("[part=hint]").is_hidden()


KINDS = {
    "canvas": "art",
    "an offscreen canvas": "(() => { const c = new OffscreenCanvas(9, 9); c.getContext('2d');"
    " return c; })()",
    "a blob": "new Promise((done) => art.toBlob(done))",
    "a data URL": "art.toDataURL('image/jpeg')",
    "an image": "Object.assign(new Image(), {src: art.toDataURL()})",
    "a bitmap": "createImageBitmap(art)",
    "pixels": "art.getContext('2d').getImageData(0, 0, 9, 9)",
    "a list of files": "(async () => { const list = new DataTransfer();"
    " list.items.add(new File([await new Promise((done) => art.toBlob(done))], 'a.png'));"
    " return list.files; })()",
}


def test_whatever_holds_a_picture_is_shared(page: Page, storefront: Storefront) -> None:
    for kind in KINDS.values():
        page.evaluate(f"""async () => {{
            const {{shareImage}} = await import("./share-image.js");
            await shareImage(await {kind});
        }}""")
    assert len(storefront.posts) == len(KINDS)
    assert all(posted.file for posted in storefront.posts)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("'cat.jpg'", '"cat.jpg"'),
        ("null", "Null"),
        ("undefined", "Undefined"),
        ("{}", "Object"),
        ("new DataTransfer().files", "FileList"),
        ("document.createElement('video')", "HTMLVideoElement"),
        ("'data:image/png;base64,%%%'", '"data:image/png;base64,%%%"'),
        ("document.createElement('p')", "HTMLParagraphElement"),
    ],
)
def test_what_holds_no_picture_is_named(
    page: Page, storefront: Storefront, given: str, name: str
) -> None:
    code, message = page.evaluate(f"""async () => {{
        const {{shareImage}} = await import("./share-image.js");
        return shareImage({given}).catch(({{code, message}}) => [code, message]);
    }}""")
    assert code == "unreadable_picture"
    assert message.startswith(f"{name} is no picture that can be read")
    assert storefront.posts == []


# ---- themes


def test_targets_do_not_shrink_where_a_theme_shrinks_the_rem(page: Page) -> None:
    """Dawn sets 62.5 %, and spaces its letters."""
    page.evaluate("""() => {
        document.documentElement.style.cssText = "font-size: 62.5%";
        document.body.style.cssText = "font-size: 1.5rem; letter-spacing: 0.06rem";
    }""")
    share(page)
    targets: list[Any] = page.locator(
        "share-image-button :is(a, button, label):visible"
    ).evaluate_all(
        "all => all.map((one) => [one.offsetHeight, getComputedStyle(one).letterSpacing])"
    )
    assert min(height for height, _ in targets) >= 44
    assert {spacing for _, spacing in targets} == {"0.6px"}


@pytest.mark.parametrize("lang", ["en", "de"])
def test_nothing_moves_when_the_element_comes(
    context: BrowserContext, storefront: Storefront, lang: str
) -> None:
    """With the height that docs/storefront.md reserves."""
    context.add_init_script("""
        window.shifts = [];
        new PerformanceObserver((list) => shifts.push(...list.getEntries().map((e) => e.value)))
          .observe({type: "layout-shift", buffered: true});
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(
          "share-image-button:not(:defined) { display: block; min-height: 152px; }");
        document.adoptedStyleSheets = [sheet];""")
    page = context.new_page()
    page.goto(storefront.page(lang=lang))
    expect(page.get_by_label(pick(lang).client["choose"], exact=True)).to_be_attached()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    assert page.evaluate("shifts") == []
    assert page.locator("share-image-button").evaluate("(element) => element.offsetHeight") == 152


# ---- frameworks


def test_an_element_that_is_moved_goes_on(page: Page, storefront: Storefront) -> None:
    """A re-render takes it out and puts it in again."""
    storefront.script.append(hangs)
    page.evaluate(f"void {ELEMENT}.share(document.querySelector('#art'))")
    page.evaluate(f"document.querySelector('main').prepend({ELEMENT})")
    page.evaluate("() => new Promise((done) => setTimeout(done, 50))")
    state(page, "busy")
    storefront.release.set()
    state(page, "ready")
    assert len(storefront.posts) == 1


def test_attributes_are_live_and_the_same_as_properties(page: Page, storefront: Storefront) -> None:
    share(page)
    page.evaluate(f"""() => Object.assign({ELEMENT}, {{
        platform: "pinterest", effectType: "pop", fit: "cover", networks: "email x"}})""")
    page.evaluate(f"{ELEMENT}.setAttribute('label-link', 'Take the link')")
    expect(page.locator("share-image-button [part=network]")).to_have_text(["Email", "X"])
    expect(page.get_by_role("button", name="Take the link")).to_be_visible()
    assert page.evaluate(f"{ELEMENT}.getAttribute('effect-type')") == "pop"
    page.evaluate(f"{ELEMENT}.removeAttribute('fit')")
    share(page)
    assert storefront.posts[1].fields == {
        "platform": "pinterest",
        "effect_type": "pop",
        "lang": "en",  # of the page
    }


def test_properties_that_were_set_before_the_script_came_count(
    context: BrowserContext, storefront: Storefront
) -> None:
    page = context.new_page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/share-image.js", hold)
    page.goto(storefront.page(), wait_until="commit")
    page.wait_for_selector("[name=note]")
    page.evaluate(f"{ELEMENT}.networks = 'reddit'")
    held[0].continue_()
    page.evaluate(DRAW)
    page.evaluate("customElements.whenDefined('share-image-button').then(() => {})")
    share(page)
    assert page.locator("[part=network]").all_inner_texts() == ["Reddit"]
    assert page.evaluate(f"{ELEMENT}.getAttribute('networks')") == "reddit"


def test_events_leave_the_shadow_that_a_component_puts_around(page: Page) -> None:
    heard = page.evaluate("""async () => {
        const heard = [];
        for (const type of ["share-start", "share-ready", "share-failed"]) {
          document.addEventListener(type, (event) => heard.push(event.type));
        }
        const host = document.createElement("div");
        document.body.append(host);
        const inner = document.createElement("share-image-button");
        host.attachShadow({mode: "open"}).append(inner);
        await inner.share(document.querySelector("#art"));
        await inner.share(null).catch(() => {});
        return heard;
    }""")
    assert heard == ["share-start", "share-ready", "share-start", "share-failed"]


# ---- languages


def test_it_speaks_the_language_of_the_page_and_of_each_refusal(
    context: BrowserContext, storefront: Storefront
) -> None:
    texts = pick("fr").client
    page = context.new_page()
    page.goto(storefront.page(lang="fr-CA", attributes='label-link="Le lien"'))
    page.evaluate(DRAW)
    share(page)
    assert names(page)[-4:] == ["Le lien", texts["image"], texts["download"], texts["delete"]]
    codes = [name.removeprefix("error-") for name in texts if name.startswith("error-")]
    for code in {"corrupt_image", "busy", "nobody_knows"} | set(codes[-4:]):
        refusal = {"detail": "English (max 7MB)", "code": code}
        storefront.script.extend([answers(400, refusal)])
        page.evaluate(f"{ELEMENT}.share(document.querySelector('#art')).catch(() => {{}})")
        state(page, "failed")
        words = texts.get(f"error-{code}", texts["error-other"]).replace("{limit}", "7MB")
        expect(page.get_by_role("alert")).to_have_text(words)


def test_it_follows_a_page_that_changes_its_language(page: Page) -> None:
    expect(page.get_by_label("Share a picture")).to_be_attached()
    page.evaluate("document.documentElement.lang = 'es'")
    expect(page.get_by_label(pick("es").client["choose"])).to_be_attached()
    page.evaluate("document.documentElement.lang = 'nl'")
    expect(page.get_by_label("Share a picture")).to_be_attached()


def test_the_last_language_of_the_page_wins(page: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/texts/de.json", hold, times=1)
    with page.expect_request("**/texts/de.json"):
        page.evaluate("document.documentElement.lang = 'de'")
    page.evaluate("document.documentElement.lang = 'es'")
    expect(page.get_by_label(pick("es").client["choose"])).to_be_attached()
    with page.expect_response("**/texts/de.json"):
        held[0].continue_()
    page.evaluate("fetch('texts/de.json', {cache: 'force-cache'}).then((answer) => answer.text())")
    expect(page.get_by_label(pick("es").client["choose"])).to_be_attached()


def test_where_texts_cannot_be_fetched_it_speaks_english(
    context: BrowserContext, storefront: Storefront
) -> None:
    page = context.new_page()
    page.route("**/texts/*", lambda route: route.abort())
    page.goto(storefront.page(lang="de"))
    expect(page.get_by_label("Share a picture")).to_be_attached()


# ---- the clipboard


def test_without_a_clipboard_the_link_is_shown_selected(page: Page) -> None:
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    share(page)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("status")).to_have_text("Copy this link:")
    link = page.get_by_role("textbox", name="Copy link")
    expect(link).to_be_focused()
    assert "/s/" in link.input_value()
    selected = link.evaluate("(one) => one.value.slice(one.selectionStart, one.selectionEnd)")
    assert selected == link.input_value()


def test_copying_a_picture_shows_and_is_not_overtaken(page: Page) -> None:
    """What is clicked while it works would be copied first, and then be replaced by the picture."""
    page.evaluate("""() => {
        window.copied = [];
        const write = async ([item]) => {
          for (const type of item.types) await item.getType(type), copied.push(type);
        };
        Object.defineProperty(navigator, "clipboard", {value: {write}});
    }""")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/*.jpg", hold)
    share(page)
    page.get_by_role("button", name="Copy picture").click()
    expect(page.get_by_role("status")).to_have_text("One moment…")
    page.get_by_role("button", name="Copy link").click()
    body = pictures.photo_jpeg((32, 24))
    held[0].fulfill(body=body, content_type="image/jpeg")
    expect(page.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("copied") == ["image/png"]
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_function("copied.length === 2")


def test_a_window_that_waits_looks_like_the_shop(page: Page, storefront: Storefront) -> None:
    page.evaluate(f"{ELEMENT}.style.setProperty('--share-accent', 'rgb(1, 2, 3)')")
    storefront.script.append(hangs)
    page.evaluate(f"void {ELEMENT}.share(document.querySelector('#art'))")
    with page.expect_popup() as opening:
        page.get_by_role("button", name="Threads").click()
    popup = opening.value
    expect(popup.locator("body")).to_have_text("Your picture is on its way…")
    look = popup.evaluate(
        "[...['fontFamily', 'accentColor']].map((n) => getComputedStyle(document.body)[n])"
    )
    assert look == ["system-ui", "rgb(1, 2, 3)"]
    popup.close()
    storefront.release.set()


def test_no_policy_is_broken_on_the_way(
    context: BrowserContext, watch: Watch, storefront: Storefront, function: FunctionServer
) -> None:
    page = context.new_page()
    page.goto(storefront.page(function.url, lang="de"))
    page.evaluate(DRAW)
    page.evaluate(f"{ELEMENT}.for = '#art'")
    page.get_by_role("button", name="Dieses Bild teilen").click()
    state(page, "ready")
    assert watch.complaints == []
