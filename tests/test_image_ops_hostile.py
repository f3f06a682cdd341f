"""What cannot be used, what merely looks like it, and what a thousand mutations make of files."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pictures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import ImageSettings
from config.values import FORMATS
from errors import (
    CorruptImage,
    DimensionsTooLarge,
    ImageTooComplex,
    UnsupportedFormat,
    UnusableImage,
)
from image_ops import HERE, read_header, render
from imaging.decoding import open_picture
from imaging.geometry import Fit
from imaging.headers import MAX_SCANS
from platforms import card_canvas, picture_canvas

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
SETTINGS = ImageSettings()
CANVASES = (picture_canvas("email", None, max_side_px=1200), card_canvas(None))
SMALL = (picture_canvas("email", None, max_side_px=64),)


def share(data: bytes, limits: ImageSettings = SETTINGS) -> tuple[int, int]:
    """Return the size of the picture that is made of a file."""
    return render(data, read_header(data, limits), CANVASES, limits)[0].size


FILES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: pictures.photo_jpeg((96, 64), gps=True),
    "progressive JPEG": lambda: pictures.photo_jpeg((96, 64), progressive=True),
    "MPO": lambda: pictures.mpo((96, 64)),
    "CMYK": lambda: pictures.cmyk_jpeg((64, 64), profile=pictures.cmyk_profile()),
    "PNG": lambda: pictures.cutout_png((96, 64)),
    "palette PNG": lambda: pictures.palette_png((96, 64)),
    "16-bit PNG": lambda: pictures.grey_png((96, 64)),
    "GIF": lambda: pictures.gif((96, 64), 3),
    "WEBP": lambda: pictures.webp((96, 64)),
    "animated WEBP": lambda: pictures.animated_webp((96, 64)),
    "lossless WEBP": lambda: pictures.webp((96, 64), alpha=True, lossless=True),
    "AVIF": lambda: pictures.avif((96, 64), alpha=True),
    "HEIC": lambda: pictures.heic((96, 64)),
    "Display P3": lambda: pictures.encoded(
        pictures.scene((96, 64)), "JPEG", icc_profile=pictures.rgb_profile("p3")
    ),
}


# --- refused, each with its code


def png_bomb(kind: bytes, content: bytes) -> bytes:
    return pictures.with_png_chunk(pictures.photo_png((9, 9)), kind, content)


ZEROS = zlib.compress(bytes(60_000_000), 9)
REFUSED: dict[str, tuple[Callable[[], bytes], type[UnusableImage]]] = {
    "zero bytes": (lambda: b"", UnsupportedFormat),
    "one byte": (lambda: b"\xff", UnsupportedFormat),
    "text": (lambda: b"<html>no picture</html>", UnsupportedFormat),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', UnsupportedFormat),
    "TIFF": (lambda: pictures.encoded(pictures.scene((9, 9)), "TIFF"), UnsupportedFormat),
    "BMP": (lambda: pictures.encoded(pictures.scene((9, 9)), "BMP"), UnsupportedFormat),
    "an MP4": (lambda: b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", UnsupportedFormat),
    "a signature alone: JPEG": (lambda: b"\xff\xd8\xff\xe0", CorruptImage),
    "a signature alone: PNG": (lambda: b"\x89PNG\r\n\x1a\n", CorruptImage),
    "a signature alone: GIF": (lambda: b"GIF89a", CorruptImage),
    "a signature alone: WEBP": (lambda: b"RIFF\0\0\0\0WEBP", CorruptImage),
    "a signature alone: AVIF": (lambda: b"\0\0\0\x18ftypavif", CorruptImage),
    "a signature alone: HEIC": (lambda: b"\0\0\0\x18ftypheic", CorruptImage),
    "a JPEG without height": (
        lambda: pictures.with_jpeg_size(pictures.photo_jpeg((64, 64)), (64, 0)),
        CorruptImage,
    ),
    "scans": (lambda: pictures.scan_bomb((64, 64), MAX_SCANS + 1), ImageTooComplex),
    "scans of a large picture": (
        lambda: pictures.with_jpeg_size(pictures.scan_bomb((64, 64), 60), (7000, 7000)),
        ImageTooComplex,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_under_a_second(name: str) -> None:
    make, error = REFUSED[name]
    data = make()
    started = time.process_time()
    with pytest.raises(UnusableImage) as refusal:
        share(data)
    assert time.process_time() - started < 1
    assert type(refusal.value) is error


@pytest.mark.parametrize("share_of_file", [0.3, 0.6, 0.9, 0.98])
@pytest.mark.parametrize("name", FILES)
def test_what_ends_early_is_refused(name: str, share_of_file: float) -> None:
    data = FILES[name]()
    if name == "MPO":  # whatever follows the first picture may be missing
        data = data[: data.index(b"\xff\xd9\xff\xd8")]
    if len(data) * (1 - share_of_file) < 40:
        pytest.skip("nothing but the end mark is missing")
    if name in {"GIF", "animated WEBP"} and share_of_file > 0.5:
        pytest.skip("the first frame is complete by then")
    with pytest.raises(CorruptImage):
        share(data[: int(len(data) * share_of_file)])


@pytest.mark.parametrize("name", FILES)
def test_no_detail_says_what_the_decoder_said(name: str) -> None:
    data = FILES[name]()
    with pytest.raises(CorruptImage) as refusal:
        share(data[: len(data) // 3])
    assert refusal.value.detail == CorruptImage.detail
    assert refusal.value.reason not in {"", refusal.value.detail}


def test_the_limit_of_pixels_is_reached_but_not_passed() -> None:
    limit = ImageSettings(max_pixels=64 * 48)
    assert share(pictures.photo_jpeg((64, 48)), limit) == (64, 48)
    with pytest.raises(DimensionsTooLarge) as refusal:
        share(pictures.photo_jpeg((64, 49)), ImageSettings(max_pixels=50_000_000 // 16_276))
    assert refusal.value.detail == "Image dimensions too large (max 0.003072MP)"


@pytest.mark.parametrize("size", [(200, 1), (1, 200)])
def test_the_limit_of_the_side_is_reached_but_not_passed(size: tuple[int, int]) -> None:
    assert share(pictures.photo_jpeg(size), ImageSettings(max_input_side_px=200)) == size
    with pytest.raises(DimensionsTooLarge) as refusal:
        share(pictures.photo_jpeg(size), ImageSettings(max_input_side_px=199))
    assert refusal.value.detail == "Image dimensions too large (max 199px)"


@pytest.mark.parametrize("format_", FORMATS)
def test_a_format_that_is_not_wanted_is_refused(format_: str) -> None:
    wanted = tuple(name for name in FORMATS if name != format_)
    with pytest.raises(UnsupportedFormat) as refusal:
        share(FILES[format_](), ImageSettings(input_formats=wanted))
    assert refusal.value.detail == f"Invalid file type. Only {'/'.join(wanted)} supported"


def test_the_old_limits_speak_the_old_words() -> None:
    old = ImageSettings(input_formats=("JPEG", "PNG"), max_input_side_px=2000)
    with pytest.raises(UnsupportedFormat) as refusal:
        share(pictures.webp((9, 9)), old)
    assert refusal.value.detail == "Invalid file type. Only JPEG/PNG supported"


# --- contained: what only the sandbox can refuse


def test_an_item_type_that_is_no_text_hurts_its_own_process_alone() -> None:
    assert share(pictures.heic_with_exif()) == (64, 64)
    with pytest.raises(CorruptImage) as refusal:
        share(pictures.heic_with_exif(item_type=b"\xaaxif"))
    assert "SIGSEGV" in refusal.value.reason


@pytest.mark.slow
def test_a_container_that_lies_gets_the_memory_that_it_promised() -> None:
    """56 megapixels that say they are 64 x 64 px; libavif would scale them down afterwards."""
    with pytest.raises(UnusableImage):
        share(pictures.lying_avif((64, 64), (8000, 7000)))


def test_the_decoders_of_contained_formats_are_never_even_loaded_here(tmp_path: Path) -> None:
    """All but GIF's, which Pillow loads when it first writes a JPEG."""
    for name in ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "HEIC"):
        (tmp_path / name).write_bytes(FILES[name]())
    program = (
        "import sys; from pathlib import Path; sys.path.append(sys.argv[1])\n"
        "from config import ImageSettings\n"
        "from image_ops import read_header, render\n"
        "from platforms import card_canvas\n"
        "for path in Path(sys.argv[2]).iterdir():\n"
        "    data, settings = path.read_bytes(), ImageSettings()\n"
        "    render(data, read_header(data, settings), [card_canvas(None)], settings)\n"
        "print(*(name for name in sys.modules if name.endswith('ImagePlugin') or 'heif' in name))\n"
    )
    command = [sys.executable, "-P", "-c", program, str(ROOT), str(tmp_path)]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert "PIL.JpegImagePlugin" in loaded
    assert [name for name in loaded if "WebP" in name or "Avif" in name or "heif" in name] == []
    assert {"JPEG", "PNG"} == HERE


# --- accepted, though it looks odd


@pytest.mark.parametrize(
    "tail",
    [b"<script>alert(1)</script>", b"\0" * 5000, pictures.MARKER, b"\0\0\0\x18ftypmp42" * 99],
)
def test_what_is_appended_to_a_jpeg_does_not_matter(tail: bytes) -> None:
    data = pictures.photo_jpeg((64, 48))
    whole, first = (
        render(d, read_header(d, SETTINGS), CANVASES, SETTINGS) for d in (data + tail, data)
    )
    assert whole == first


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_a_text_bomb_is_not_even_opened(kind: bytes) -> None:
    """Drawings come with megabytes of text: that is no reason to refuse them."""
    content = b"c\0\0" + ZEROS if kind == b"zTXt" else b"c\0\1\0\0\0" + ZEROS
    if kind == b"tEXt":
        content = b"c\0" + bytes(3_000_000)
    assert share(png_bomb(kind, content)) == (9, 9)


def test_a_gif_whose_frame_is_larger_than_its_screen_is_measured_by_the_frame() -> None:
    data = bytearray(pictures.gif((64, 48)))
    data[6:10] = struct.pack("<HH", 10, 10)
    assert read_header(bytes(data), SETTINGS).size == (64, 48)
    assert share(bytes(data)) == (64, 48)
    with pytest.raises(DimensionsTooLarge):
        share(bytes(data), ImageSettings(max_pixels=100))


def test_a_picture_of_the_generic_brand_is_known_by_its_codec() -> None:
    heic, avif = pictures.heic((64, 48)), pictures.avif((64, 48))
    assert read_header(heic.replace(b"ftypheic", b"ftypmif1", 1), SETTINGS).format == "HEIC"
    assert read_header(avif.replace(b"ftypavif", b"ftypmif1", 1), SETTINGS).format == "AVIF"


@pytest.mark.filterwarnings("error")
def test_damaged_exif_is_no_reason_to_refuse_or_to_warn() -> None:
    block = pictures.exif(orientation=6, gps=True)
    for kept in range(6, len(block), 15):
        data = pictures.encoded(pictures.scene((32, 16)), "JPEG", exif=block[:kept])
        assert sorted(share(data)) == [16, 32]


def test_a_decoder_cannot_find_more_than_was_measured() -> None:
    small = read_header(pictures.photo_jpeg((8, 8)), SETTINGS)
    with pytest.raises(CorruptImage):
        open_picture(pictures.photo_jpeg((640, 480)), small)


# --- mutations


@st.composite
def mutated(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """Return a file with one thing done to it, mostly behind its signature."""
    data = draw(st.sampled_from(files))
    changed = bytearray(data)
    places = st.integers(16, len(data) - 1)
    at = draw(places)
    match draw(st.integers(0, 6)):
        case 0:  # one bit
            changed[at] ^= 1 << draw(st.integers(0, 7))
        case 1:  # a few bytes
            for place, value in draw(
                st.dictionaries(places, st.integers(0, 255), max_size=12)
            ).items():
                changed[place] = value
        case 2:  # a number that matters, made extreme
            extreme = st.sampled_from((b"\0\0\0\0", b"\xff" * 4, b"\x7f\xff\xff\xff"))
            changed[at : at + 4] = draw(extreme)
        case 3:  # something is missing
            del changed[at : at + draw(st.integers(1, 64))]
        case 4:  # something is there twice
            changed[at:at] = data[at : at + draw(st.integers(1, 256))]
        case 5:  # something is foreign
            changed[at:at] = draw(st.binary(min_size=1, max_size=64))
        case _:  # it ends
            del changed[at:]
    return bytes(changed)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mutations", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_mutation_escapes_the_error_tree(mutations: int) -> None:
    """Mutations of real files; at least a third must get as far as the decoder."""
    files = [make() for make in FILES.values()]
    came: Counter[str] = Counter()

    @settings(max_examples=mutations, deadline=None, derandomize=True, database=None)
    @given(data=mutated(files))
    def is_rendered_or_refused(data: bytes) -> None:
        try:
            header = read_header(data, SETTINGS)
            open_picture(data, header)
            came["to the decoder"] += 1  # what is opened is decoded next
            render(data, header, SMALL, SETTINGS)
        except UnusableImage:
            came["to be refused"] += 1

    is_rendered_or_refused()
    assert came["to the decoder"] >= mutations / 3, came
    assert came["to be refused"] >= mutations / 10, f"{came}: the mutations are too tame"


@pytest.mark.slow
def test_every_fit_meets_every_format() -> None:
    for make in FILES.values():
        data = make()
        for fit in Fit:
            canvases = [picture_canvas("instagram", fit, max_side_px=1200)]
            assert render(data, read_header(data, SETTINGS), canvases, SETTINGS)
