"""What share-image.js promises a shop that calls it, in a real Chromium against real servers."""

from __future__ import annotations

import base64
import io
import json
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import pictures
import pytest
from browser import Watch
from function_server import FunctionServer, serve
from keys import is_uuid7, uuid7
from PIL import Image
from storefront import (
    Storefront,
    answers,
    dies,
    dies_while_answering,
    forwards_to,
    hangs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.slow

SMALL = pictures.photo_jpeg((320, 240))

# The pauses between tries have a random part: this makes it take nine tenths off them.
HASTY = "Math.random = () => -0.9;"

# Calls shareImage as a shop would, and tells how it ended and what was seen on the way.
CALL = """async ({picture, type, name, client: home, options, abortAfter}) => {
  const client = await import(`${home}/share-image.js`);
  const bytes = Uint8Array.from(atob(picture), (c) => c.charCodeAt(0));
  const file = name ? new File([bytes], name, {type}) : new Blob([bytes], {type});
  const stages = [];
  const onProgress = ({stage}) => stages.at(-1) === stage || stages.push(stage);
  const control = new AbortController();
  const {tokens} = options;
  if (tokens) options.token = async () => tokens.shift() ?? Promise.reject(Error("sold out"));
  if (abortAfter !== undefined) setTimeout(() => control.abort(), abortAfter);
  try {
    const share = await client.shareImage(file, {...options, onProgress, signal: control.signal});
    Object.assign(window, {client, share});
    return {share, stages};
  } catch (error) {
    const {name, message, code, status, detail, retryAfter} = error;
    const isError = error instanceof Error;
    return {error: {name, message, code, status, detail, retryAfter, isError}, stages};
  }
}"""


@pytest.fixture(scope="module")
def shares_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("function")


@pytest.fixture(scope="module")
def function(shares_folder: Path, storefront_server: Storefront) -> Iterator[FunctionServer]:
    """The function, which lets the storefront in by one of its two names."""
    with serve(shares_folder, {"ALLOWED_ORIGINS": storefront_server.url}) as running:
        yield running


@pytest.fixture
def page(context: BrowserContext, storefront: Storefront) -> Page:
    """A page on the storefront's own origin, with the client at hand."""
    context.add_init_script(HASTY)
    opened = context.new_page()
    opened.goto(storefront.page())
    return opened


def call(
    page: Page,
    picture: bytes = SMALL,
    type_: str = "image/jpeg",
    name: str = "",
    client: str = ".",
    abort_after: int | None = None,
    **options: object,
) -> dict[str, Any]:
    given: dict[str, Any] = {
        "picture": base64.b64encode(picture).decode(),
        "type": type_,
        "name": name,
        "client": client,
        "options": options,
    }
    if abort_after is not None:
        given["abortAfter"] = abort_after
    outcome: dict[str, Any] = page.evaluate(CALL, given)
    return outcome


def stored(folder: Path) -> set[str]:
    """Return the ids of the shares in a folder."""
    return {path.parent.name for path in (folder / "shares").rglob("picture*")}


# ---- one call


def test_a_picture_becomes_a_share(page: Page, storefront: Storefront) -> None:
    outcome = call(page, name="luna.jpg", platform="pinterest", effectType="pop", fit="cover")
    (posted,) = storefront.posts
    sent = {"platform": "pinterest", "effect_type": "pop", "fit": "cover", "lang": "en"}
    assert posted.fields == sent
    assert posted.file == SMALL
    assert posted.filename == "luna.jpg"
    assert outcome["share"]["share_id"] == posted.key
    assert outcome["stages"] == ["preparing", "uploading", "processing"]


# Shares an image of the page's own, whose description may be one that no form takes.
SHARE_IMG = """async ([src, alt]) => {
  const img = Object.assign(new Image(), { src, alt });
  const { shareImage } = await import("./share-image.js");
  await shareImage(img);
}"""


@pytest.mark.parametrize(
    ("lang", "alt", "sent"),
    [
        ("de-CH", "Eine Katze", {"lang": "de-CH", "alt": "Eine Katze"}),
        ("", "", {}),
        ("fr", "a" * 301, {"lang": "fr", "alt": "a" * 300}),
    ],
)
def test_the_language_of_the_page_and_the_description_of_its_picture_go_with_it(
    page: Page, storefront: Storefront, lang: str, alt: str, sent: dict[str, str]
) -> None:
    page.goto(storefront.page(lang=lang))
    src = "data:image/jpeg;base64," + base64.b64encode(SMALL).decode()
    page.evaluate(SHARE_IMG, [src, alt])
    (posted,) = storefront.posts
    assert posted.fields == {"platform": "link", **sent}


def test_the_key_is_a_uuid7_of_this_moment(page: Page, storefront: Storefront) -> None:
    call(page)
    call(page)
    keys = [posted.key for posted in storefront.posts]
    assert all(map(is_uuid7, keys))
    assert len(set(keys)) == 2
    assert abs(int(keys[0][:8] + keys[0][9:13], 16) / 1000 - time.time()) < 5
    assert uuid7()[14] == keys[0][14]


@pytest.mark.parametrize("suffix", ["", "/", "/api/v2/share-image", "/api/v2/share-image/?a=1#b"])
def test_the_endpoint_may_be_given_with_or_without_the_route(
    page: Page, storefront: Storefront, suffix: str
) -> None:
    assert "share" in call(page, endpoint=storefront.url + suffix)


# ---- what is sent


def large(kind: str) -> tuple[bytes, str]:
    match kind:
        case "photo":
            return pictures.photo_jpeg((2560, 1920), orientation=6), "image/jpeg"
        case "cutout":
            return pictures.cutout_png((2500, 500)), "image/png"
        case _:
            return pictures.photo_png((2500, 500)), "image/png"


def sent(storefront: Storefront) -> Image.Image:
    return Image.open(io.BytesIO(storefront.posts[-1].file))


def test_a_large_photo_is_scaled_down_upright(page: Page, storefront: Storefront) -> None:
    data, type_ = large("photo")
    assert len(data) > 1_000_000
    call(page, data, type_, "IMG_1.JPG")
    picture = sent(storefront)
    assert picture.format == "JPEG"
    assert picture.size == (1800, 2400)
    assert not picture.getexif()
    assert storefront.posts[0].filename == "IMG_1.jpg"
    upright = Image.open(io.BytesIO(data)).transpose(Image.Transpose.ROTATE_270)
    expected = upright.resize((9, 12)).convert("L").tobytes()
    found = picture.resize((9, 12)).convert("L").tobytes()
    assert max(abs(a - b) for a, b in zip(expected, found, strict=True)) < 12


def test_a_large_photo_that_a_machine_made_says_so_when_it_is_scaled_down(
    page: Page, storefront: Storefront
) -> None:
    address = b"http://cv.iptc.org/newscodes/digitalsourcetype/"
    body = b"http://ns.adobe.com/xap/1.0/\0" + b" ".join(
        address + term
        for term in (b"print", b"algorithmicMediaX", b"compositeSynthetickdescription")
    )
    plain, _ = large("photo")
    marked = plain[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + plain[2:]
    assert "share" in call(page, marked)
    assert "share" in call(page, plain)
    assert "share" in call(page, SMALL, digitalSourceType="trainedAlgorithmicMedia")
    assert "share" in call(page, marked, digitalSourceType="digitalCapture")
    assert "share" in call(page, SMALL, digitalSourceType="print")
    found = [posted.fields.get("digital_source_type") for posted in storefront.posts]
    assert found == [
        "compositeSynthetic",
        None,
        "trainedAlgorithmicMedia",
        "compositeSynthetic",
        "print",
    ]
    assert address not in storefront.posts[0].file


def test_a_large_cut_out_keeps_its_transparency(page: Page, storefront: Storefront) -> None:
    call(page, *large("cutout"), "luna.png")
    picture = sent(storefront)
    assert (picture.format, picture.size) == ("PNG", (2400, 480))
    assert picture.convert("RGBA").getpixel((0, 0))[3] == 0  # type: ignore[index]


def test_a_large_opaque_png_travels_as_jpeg(page: Page, storefront: Storefront) -> None:
    call(page, *large("opaque"), "luna.png")
    assert sent(storefront).format == "JPEG"
    assert storefront.posts[0].filename == "luna.jpg"


def test_what_the_browser_cannot_decode_goes_up_as_it_is(
    page: Page, storefront: Storefront
) -> None:
    data = pictures.heic((640, 480)) + bytes(1_200_000)
    call(page, data, "image/heic", "IMG_2.HEIC")
    assert storefront.posts[0].file == data
    assert storefront.posts[0].filename == "IMG_2.HEIC"


def test_a_browser_that_returns_noise_for_a_canvas_sends_the_original(
    context: BrowserContext, storefront: Storefront
) -> None:
    """Firefox does so where it resists fingerprinting."""
    context.add_init_script("""
        CanvasRenderingContext2D.prototype.getImageData = (x, y, width, height) =>
          ({data: new Uint8ClampedArray(4 * width * height).fill(255)});""")
    page = context.new_page()
    page.goto(storefront.page())
    data, type_ = large("opaque")
    call(page, data, type_)
    assert storefront.posts[0].file == data


@pytest.mark.parametrize(
    ("ground", "size", "expected"),
    [("#fff", 600, ("JPEG", (600, 300))), ("#fff0", 4800, ("PNG", (2400, 1200)))],
)
def test_a_canvas_is_shared_as_it_is_drawn(
    page: Page, storefront: Storefront, ground: str, size: int, expected: tuple[str, Any]
) -> None:
    page.evaluate(
        """async ([ground, size]) => {
          const {shareImage} = await import("./share-image.js");
          const canvas = new OffscreenCanvas(size, size / 2);
          const context = canvas.getContext("2d");
          context.fillStyle = ground;
          context.fillRect(0, 0, size, size);
          await shareImage(canvas);
        }""",
        [ground, size],
    )
    picture = sent(storefront)
    assert (picture.format, picture.size) == expected


@pytest.mark.parametrize("trouble", ["empty", "tainted"])
def test_a_canvas_that_cannot_be_read_is_an_error(
    browser: Browser, storefront: Storefront, function: FunctionServer, trouble: str
) -> None:
    with browser.new_context(bypass_csp=True) as context:  # for the picture of another site
        page = context.new_page()
        page.goto(storefront.page())
        url = call(page, client=function.url)["share"]["url"]
        code = page.evaluate(
            """async ([trouble, url]) => {
              const {shareImage} = await import("./share-image.js");
              const canvas = document.createElement("canvas");
              const image = new Image();
              image.src = url;
              await image.decode();
              canvas.getContext("2d").drawImage(image, 0, 0);
              if (trouble === "empty") canvas.width = 0;
              return shareImage(canvas).catch((error) => error.code);
            }""",
            [trouble, url],
        )
    assert code == "unreadable_picture"
    assert storefront.posts == []


# ---- when it does not work at once


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(answers(503, Retry_After="0"), id="503"),
        pytest.param(answers(429, Retry_After="0"), id="429"),
        pytest.param(answers(502, "<h1>Bad Gateway</h1>"), id="502"),
        pytest.param(dies, id="dies"),
        pytest.param(dies_while_answering, id="dies while answering"),
    ],
)
def test_a_passing_trouble_is_tried_again_under_the_same_key(
    page: Page, storefront: Storefront, trouble: Callable[..., None]
) -> None:
    storefront.script.extend([trouble, trouble])
    outcome = call(page)
    assert outcome["share"]["share_id"] == storefront.posts[0].key
    assert len(storefront.posts) == 3
    assert len({posted.key for posted in storefront.posts}) == 1
    assert len({posted.file for posted in storefront.posts}) == 1
    assert "waiting" in outcome["stages"]


def tokens_sent(storefront: Storefront) -> list[str | None]:
    return [posted.headers.get("Authorization") for posted in storefront.posts]


WRONG_TOKEN = {"detail": "This upload token has expired", "code": "wrong_upload_token"}


def test_a_token_goes_along_and_none_where_there_is_none(
    page: Page, storefront: Storefront
) -> None:
    assert "share" in call(page, token="a.b")
    assert "share" in call(page, tokens=["c.d"])
    assert "share" in call(page)
    assert tokens_sent(storefront) == ["Bearer a.b", "Bearer c.d", None]


def test_a_token_that_has_expired_is_fetched_again_once(page: Page, storefront: Storefront) -> None:
    storefront.script.append(answers(403, WRONG_TOKEN))
    assert "share" in call(page, tokens=["old", "new", "newer"])
    assert tokens_sent(storefront) == ["Bearer old", "Bearer new"]
    assert len({posted.key for posted in storefront.posts}) == 1
    storefront.reset()
    storefront.script.extend([answers(403, WRONG_TOKEN)] * 2)
    assert call(page, tokens=["old", "new", "newer"])["error"]["code"] == "wrong_upload_token"
    assert len(storefront.posts) == 2
    storefront.reset()
    storefront.script.append(answers(403, WRONG_TOKEN))
    assert call(page, token="fixed")["error"]["code"] == "wrong_upload_token"
    assert len(storefront.posts) == 1


def test_a_token_that_cannot_be_fetched_is_an_error_of_its_own(
    page: Page, storefront: Storefront
) -> None:
    error = call(page, tokens=[])["error"]
    assert (error["code"], error["message"]) == ("no_token", "sold out")
    assert storefront.posts == []


def test_a_token_for_one_use_gives_its_id_to_the_share(page: Page, storefront: Storefront) -> None:
    keys = [uuid7(), uuid7()]
    said = [json.dumps({"sub": "?>~?>~", "jti": key}).encode() for key in keys]
    tokens = [base64.urlsafe_b64encode(text).decode().rstrip("=") for text in said]
    storefront.script.append(answers(403, WRONG_TOKEN))
    assert "share" in call(page, tokens=[f"{token}.x" for token in tokens])
    assert [posted.key for posted in storefront.posts] == keys


def test_retry_after_is_honoured(page: Page, storefront: Storefront) -> None:
    storefront.script.append(answers(503, Retry_After="2"))
    assert "share" in call(page)
    first, second = storefront.posts
    assert 2 <= second.at - first.at < 4


def test_a_long_retry_after_is_reported_at_once(page: Page, storefront: Storefront) -> None:
    storefront.script.append(
        answers(429, {"detail": "Too many", "code": "too_many_requests"}, Retry_After="90")
    )
    error = call(page)["error"]
    assert error["isError"]
    assert error["code"] == "too_many_requests"
    assert (error["status"], error["detail"], error["retryAfter"]) == (429, "Too many", 90)
    assert len(storefront.posts) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422, 500])
def test_what_would_fail_again_is_tried_once(
    page: Page, storefront: Storefront, status: int
) -> None:
    storefront.script.append(answers(status, {"detail": "because", "code": "reason"}))
    error = call(page)["error"]
    assert (error["status"], error["code"], error["message"]) == (status, "reason", "because")
    assert len(storefront.posts) == 1


def test_field_problems_keep_their_list(page: Page, storefront: Storefront) -> None:
    detail = [{"type": "missing", "loc": ["body", "platform"], "msg": "Field required"}]
    storefront.script.append(answers(422, {"detail": detail, "code": "invalid_fields"}))
    error = call(page)["error"]
    assert (error["detail"], error["message"]) == (detail, "Field required")


def test_it_gives_up_after_four_tries_further_and_further_apart(
    context: BrowserContext, storefront: Storefront
) -> None:
    context.add_init_script("Math.random = () => 0;")
    page = context.new_page()
    page.goto(storefront.page())
    storefront.script.extend([answers(503)] * 9)
    error = call(page)["error"]
    assert error["status"] == 503
    times = [posted.at for posted in storefront.posts]
    assert len(times) == 4
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == pytest.approx([0.5, 1, 2], abs=0.4)


def test_a_server_that_hangs_is_given_up_and_asked_again(
    page: Page, storefront: Storefront
) -> None:
    storefront.script.append(hangs)
    outcome = call(page, timeout=400)
    assert "share" in outcome
    assert len({posted.key for posted in storefront.posts}) == 1


def test_a_server_that_always_hangs_is_a_timeout(page: Page, storefront: Storefront) -> None:
    storefront.script.extend([hangs] * 9)
    error = call(page, timeout=200)["error"]
    assert (error["code"], error["status"]) == ("timeout", 0)
    assert len(storefront.posts) == 4


def test_nobody_there_is_a_network_error(page: Page, storefront: Storefront) -> None:
    error = call(page, endpoint="http://127.0.0.1:9")["error"]
    assert (error["name"], error["code"], error["status"]) == ("ShareError", "network", 0)


def test_an_answer_that_is_no_share_is_an_error(page: Page, storefront: Storefront) -> None:
    """A captive portal answers 200 to everything."""
    storefront.script.append(answers(200, "<h1>Welcome to our wifi</h1>"))
    assert call(page)["error"]["code"] == "bad_answer"


@pytest.mark.parametrize("trouble", [hangs, answers(503, Retry_After="20")])
def test_the_signal_ends_it_at_once(
    page: Page, storefront: Storefront, trouble: Callable[..., None]
) -> None:
    storefront.script.append(trouble)
    started = time.monotonic()
    error = call(page, abort_after=300)["error"]
    assert error["name"] == "AbortError"
    assert time.monotonic() - started < 5
    assert len(storefront.posts) == 1


# ---- one share, whatever happens


def test_a_share_whose_answer_was_lost_is_not_made_twice(
    page: Page, storefront: Storefront, function: FunctionServer, shares_folder: Path
) -> None:
    before = stored(shares_folder)
    lost = forwards_to(function.url, then=dies)
    storefront.script.extend([lost, lost, forwards_to(function.url)])
    share = call(page)["share"]
    assert stored(shares_folder) - before == {share["share_id"]}


@pytest.mark.parametrize("hours", [-2, 30])
def test_a_device_whose_clock_is_wrong_can_share(
    context: BrowserContext,
    storefront: Storefront,
    function: FunctionServer,
    shares_folder: Path,
    hours: int,
) -> None:
    """It learns the time from the answer that refuses its key; the next share needs no detour."""
    context.add_init_script(f"const real = Date.now; Date.now = () => real() + {hours} * 3600e3;")
    before = stored(shares_folder)
    page = context.new_page()
    page.goto(storefront.page(function.url))
    posts = posts_of(page)
    share = call(page, client=function.url)["share"]
    assert stored(shares_folder) - before == {share["share_id"]}
    assert abs(share["expires_at"] - 86400 - time.time()) < 10
    assert len(posts) == 2
    call(page, client=function.url)
    assert len(posts) == 3


def test_a_warm_up_teaches_the_time(
    context: BrowserContext, storefront: Storefront, function: FunctionServer
) -> None:
    context.add_init_script("const real = Date.now; Date.now = () => real() - 3600e3;")
    page = context.new_page()
    page.goto(storefront.page(function.url))
    posts = posts_of(page)
    page.evaluate(
        "async (url) => (await import(`${url}/share-image.js`)).warmUp()",
        function.url,
    )
    assert "share" in call(page, client=function.url)
    assert len(posts) == 1


KEY_REFUSED = answers(
    422,
    {
        "detail": [{"type": "value_error", "loc": ["header", "Idempotency-Key"], "msg": "old"}],
        "code": "invalid_fields",
    },
)


def test_a_refused_key_is_not_replaced_where_it_may_have_counted(
    page: Page, storefront: Storefront
) -> None:
    """A clock four minutes late: the first try may have been in time, with its answer lost."""
    storefront.clock_ahead_s = 240
    storefront.script.extend([dies_while_answering, KEY_REFUSED])
    assert call(page)["error"]["status"] == 422
    assert len({posted.key for posted in storefront.posts}) == 1


@pytest.mark.parametrize("ahead_s", [3600, -3600])
def test_a_refused_key_is_replaced_where_it_cannot_have_counted(
    page: Page, storefront: Storefront, ahead_s: int
) -> None:
    storefront.clock_ahead_s = ahead_s
    storefront.script.extend([dies_while_answering, KEY_REFUSED])
    assert "share" in call(page)
    assert len({posted.key for posted in storefront.posts}) == 2


def test_a_key_refused_for_another_reason_is_not_replaced(
    page: Page, storefront: Storefront
) -> None:
    storefront.script.append(KEY_REFUSED)
    assert call(page)["error"]["status"] == 422
    assert len(storefront.posts) == 1


def posts_of(page: Page) -> list[str]:
    posts: list[str] = []
    page.on("request", lambda r: posts.append(r.url) if r.method == "POST" else None)
    return posts


# ---- from another origin


def test_an_allowed_origin_shares_under_a_strict_policy(
    context: BrowserContext, storefront: Storefront, function: FunctionServer
) -> None:
    watch = Watch.over(context)
    page = context.new_page()
    page.goto(storefront.page(function.url))
    share = call(page, client=function.url)["share"]
    assert httpx.get(share["url"]).status_code == 200
    assert watch.complaints == []


def test_a_refused_origin_shares_nothing(
    browser: Browser, storefront: Storefront, function: FunctionServer, shares_folder: Path
) -> None:
    """The client is for every origin, so that it can say what is wrong."""
    before = stored(shares_folder)
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        page.goto(storefront.page(function.url, host="localhost"))
        error = call(page, client=function.url)["error"]
    assert error["code"] == "origin_not_allowed"
    origin = f"http://localhost:{storefront.port}"
    address = f"{function.url}/api/v2/share-image"
    assert error["message"] == f"{origin} is not in ALLOWED_ORIGINS of {address}"
    assert stored(shares_folder) == before


# ---- what to do with a share


@pytest.fixture
def sharer(context: BrowserContext, storefront: Storefront, function: FunctionServer) -> Page:
    """A page that has made a share: window.share, and the client as window.client."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(storefront.page(function.url))
    assert "share" in call(page, client=function.url)
    return page


def test_the_link_is_copied(sharer: Page) -> None:
    sharer.evaluate("client.copyLink(Promise.resolve(share))")
    copied = sharer.evaluate("navigator.clipboard.readText()")
    assert copied == sharer.evaluate("share.page_url")


def test_the_picture_is_copied_as_png(sharer: Page) -> None:
    size = sharer.evaluate("""async () => {
        await client.copyImage(Promise.resolve(share));
        const [item] = await navigator.clipboard.read();
        const bitmap = await createImageBitmap(await item.getType("image/png"));
        return [bitmap.width, bitmap.height];
    }""")
    share = sharer.evaluate("share")
    assert size == [share["width"], share["height"]]


def test_the_picture_is_saved_as_it_is(sharer: Page) -> None:
    with sharer.expect_download() as saving:
        sharer.evaluate("client.download(share)")
    saved = saving.value
    assert saved.suggested_filename == "Fur-Co.jpg"
    assert saved.path().read_bytes() == httpx.get(sharer.evaluate("share.url")).content


def test_a_share_is_taken_back_once_and_again(sharer: Page) -> None:
    sharer.evaluate("client.deleteShare(share)")
    sharer.evaluate("client.deleteShare(share)")
    assert httpx.get(sharer.evaluate("share.url")).status_code == 410


def test_a_share_is_not_taken_back_with_another_token(sharer: Page) -> None:
    code = sharer.evaluate(
        """(token) => client.deleteShare({...share, delete_token: token}).catch((e) => e.code)""",
        uuid7(),
    )
    assert code == "wrong_token"
    assert httpx.get(sharer.evaluate("share.url")).status_code == 200


# Chromium without a screen has no share sheet: these stand for it, and keep what they were given.
SHEET = """(outcome) => {
  window.given = null;
  navigator.canShare = ({files}) => outcome.files && files.every((f) => f.type === "image/jpeg");
  navigator.share = async (data) => {
    window.given = {keys: Object.keys(data), url: data.url, name: data.files?.[0].name};
    if (outcome.error) throw new DOMException("no", outcome.error);
  };
}"""


def test_the_share_sheet_gets_the_file_alone(sharer: Page) -> None:
    sharer.evaluate(SHEET, {"files": True})
    assert sharer.evaluate("client.nativeShare(share)") is True
    assert sharer.evaluate("given") == {"keys": ["files"], "url": None, "name": "Fur-Co.jpg"}


def test_the_share_sheet_gets_the_link_where_it_takes_no_files(sharer: Page) -> None:
    sharer.evaluate(SHEET, {"files": False})
    assert sharer.evaluate("client.nativeShare(share)") is True
    link = sharer.evaluate("share.page_url")
    assert sharer.evaluate("given") == {"keys": ["url"], "url": link, "name": None}


def test_leaving_the_share_sheet_is_no_error(sharer: Page) -> None:
    sharer.evaluate(SHEET, {"files": True, "error": "AbortError"})
    assert sharer.evaluate("client.nativeShare(share)") is False


def test_a_failing_share_sheet_is_an_error(sharer: Page) -> None:
    sharer.evaluate(SHEET, {"files": True, "error": "NotAllowedError"})
    name = sharer.evaluate("client.nativeShare(share).catch((error) => error.name)")
    assert name == "NotAllowedError"


def test_a_browser_without_share_sheet_says_so(sharer: Page) -> None:
    sharer.evaluate("Object.defineProperty(navigator, 'share', {value: undefined})")
    code = sharer.evaluate("client.nativeShare(share).catch((error) => error.code)")
    assert code == "unsupported"
