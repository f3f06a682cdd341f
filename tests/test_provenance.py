"""The AI mark: found in an upload, written as one fixed packet, said on the page; nothing else."""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pictures
import pytest
from function_server import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from jpeg_segments import assert_only_pixels
from keys import uuid7
from PIL import Image
from posting import post

from config import load_settings
from config.values import SOURCE_TYPES
from errors import ConfigurationError, ShareImageError
from image_ops import Renderer, read_header, render
from imaging.jpeg_writer import require_only_pixels
from imaging.provenance import GENERATED, MACHINE, MAX_CLAIMS, claimed, marked, segment, strongest
from platforms import CANVAS_SIZES, card_canvas
from process import MemoryBudget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeClient
    from flask.testing import FlaskClient

ADDRESS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED = "trainedAlgorithmicMedia"
SIZE = (96, 64)
SETTINGS = load_settings({}).image


def attribute(term: str, address: str = ADDRESS) -> bytes:
    """Return XMP as most programs write it, with more than we keep."""
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="Aunt Mary" '
        f'Iptc4xmpExt:DigitalSourceType="{address}{term}"/></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()


def element(term: str) -> bytes:
    tag = "Iptc4xmpExt:DigitalSourceType"
    plain = attribute(term).decode()
    before, _, after = plain.partition(f' {tag}="')
    rest = after[after.index("/>") + 2 :]
    said = f"<{tag}>{ADDRESS}{term}</{tag}></rdf:Description>"
    return f"{before}>{said}{rest}".encode()


def manifest(term: str) -> bytes:
    """Return the bytes around the address in a C2PA manifest: JUMBF boxes, CBOR."""
    text = f"{ADDRESS}{term}".encode()
    said = b"\xa2factionlc2pa.createdqdigitalSourceType" + b"\x78" + bytes([len(text)]) + text
    said += b"kdescriptiondmade"  # whose length looks like one more letter of the term
    box = b"\0\0\0\x18jumdcbor\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa.actions\0" + said
    return struct.pack(">I", len(box) + 8) + b"jumb" + box


def jpeg(
    block: bytes, marker: int = 0xE1, head: bytes = b"http://ns.adobe.com/xap/1.0/\0"
) -> bytes:
    plain, body = pictures.photo_jpeg(SIZE), head + block
    return plain[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + plain[2:]


def png(block: bytes, name: bytes = b"iTXt", head: bytes = b"XML:com.adobe.xmp\0\0\0\0\0") -> bytes:
    plain = pictures.photo_png(SIZE)
    return plain[:33] + pictures.png_chunk(name, head + block) + plain[33:]


def webp(block: bytes) -> bytes:
    return pictures.encoded(pictures.scene(SIZE), "WEBP", xmp=block)


def gif(block: bytes) -> bytes:
    plain = pictures.gif(SIZE)
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    return plain[:-1] + b"\x21\xff\x0bXMP DataXMP" + block + trailer + b"\x3b"


def avif(block: bytes) -> bytes:
    return pictures.encoded(pictures.scene(SIZE), "AVIF", xmp=block)


def heic(block: bytes) -> bytes:
    """A box that every reader skips, behind the others, where C2PA puts its own."""
    body = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + block
    return pictures.heic((64, 64)) + struct.pack(">I", len(body) + 8) + b"uuid" + body


PLANTED: dict[str, Callable[[str], bytes]] = {
    "JPEG attribute": lambda term: jpeg(attribute(term)),
    "JPEG element": lambda term: jpeg(element(term)),
    "JPEG C2PA": lambda term: jpeg(manifest(term), 0xEB, b"JP\0\1\0\0\0\1"),
    "PNG": lambda term: png(attribute(term)),
    "PNG C2PA": lambda term: png(manifest(term), b"caBX", b""),
    "WebP": lambda term: webp(element(term)),
    "GIF": lambda term: gif(attribute(term)),
    "AVIF": lambda term: avif(attribute(term)),
    # Signed by c2pa-python 0.38.1 with a certificate that nobody trusts.
    "signed JPEG": lambda _term: (ROOT / "tests/data/c2pa.jpg").read_bytes(),
    "signed AVIF, described": lambda _term: (ROOT / "tests/data/c2pa-described.avif").read_bytes(),
    "signed HEIC": lambda _term: (ROOT / "tests/data/c2pa.heic").read_bytes(),
    "HEIC C2PA": lambda term: heic(manifest(term)),
}


def mark_of(published: bytes) -> str:
    """Return the term that an XML parser finds in a published JPEG, "" if there is no packet."""
    assert_only_pixels(published, may_be_marked=True)
    found = re.search(
        rb"\xff\xe1(..)http://ns.adobe.com/xap/1.0/\0(<x:xmpmeta.*?</x:xmpmeta>)",
        published,
        re.DOTALL,
    )
    if not found:
        return ""
    assert struct.unpack(">H", found[1])[0] == 2 + 29 + len(found[2])
    (description,) = ET.fromstring(found[2]).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    about = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"
    assert set(description.attrib) == {name, about}
    assert description.attrib[name].startswith(ADDRESS)
    return description.attrib[name].removeprefix(ADDRESS)


def shared(client: FlaskClient, picture: bytes, **fields: str) -> tuple[dict[str, Any], set[str]]:
    """Return the answer, and the marks of picture and card."""
    answer = post(client, picture, headers=None, **{"platform": "email", **fields})
    assert answer.status_code == 200, answer.get_json()
    share = answer.get_json()
    each = (client.get(share["url"] + "?raw").data, client.get(share["card_url"]).data)
    return share, set(map(mark_of, each))


# --- found, written, said


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_the_mark_of_an_upload_is_on_picture_and_card(
    client: FlaskClient, planted: Callable[[str], bytes]
) -> None:
    share, marks = shared(client, planted(TRAINED))
    assert marks == {TRAINED}
    assert share["digital_source_type"] == TRAINED


@pytest.mark.parametrize("fit", ["", "cover", "pad", "inside"])
def test_it_is_there_for_every_platform(make_client: MakeClient, fit: str) -> None:
    client, picture = make_client(RATE_LIMIT="1000/hour"), jpeg(attribute(TRAINED))
    for platform in (*CANVAS_SIZES, "email", "download", "../x"):
        assert shared(client, picture, platform=platform, fit=fit)[1] == {TRAINED}


@pytest.mark.parametrize("plant", [pictures.photo_jpeg, pictures.photo_png, pictures.webp])
def test_there_is_none_without_it(client: FlaskClient, plant: Callable[..., bytes]) -> None:
    share, marks = shared(client, plant(SIZE))
    assert marks == {""}
    assert "digital_source_type" not in share
    page = client.get(f"/s/{share['share_id']}").get_data(as_text=True)
    assert "Made with AI" not in page
    assert "ld+json" not in page


@pytest.mark.parametrize("term", MACHINE)
def test_each_term_of_a_machine_is_kept(client: FlaskClient, term: str) -> None:
    share, marks = shared(client, jpeg(attribute(term)))
    assert marks == {term}
    page = client.get(f"/s/{share['share_id']}").get_data(as_text=True)
    assert ("Made with AI" in page) == (term in GENERATED)


@pytest.mark.parametrize("term", sorted({*SOURCE_TYPES} - {*MACHINE}))
def test_other_terms_are_accepted_and_not_written(client: FlaskClient, term: str) -> None:
    for picture, fields in (
        (jpeg(attribute(term)), {}),
        (pictures.photo_jpeg(SIZE), {"digital_source_type": term}),
    ):
        share, marks = shared(client, picture, **fields)
        assert marks == {""}
        assert "digital_source_type" not in share


def test_of_several_claims_the_one_that_says_most_wins(make_client: MakeClient) -> None:
    client = make_client(DIGITAL_SOURCE_TYPE="compositesynthetic")
    enhanced = jpeg(attribute("algorithmicallyEnhanced"))
    assert shared(client, enhanced)[1] == {"compositeSynthetic"}
    assert shared(client, enhanced, digital_source_type=TRAINED)[1] == {TRAINED}
    assert shared(client, jpeg(attribute(TRAINED)), digital_source_type="print")[1] == {TRAINED}
    assert shared(client, pictures.photo_jpeg(SIZE))[1] == {"compositeSynthetic"}
    two = jpeg(attribute("digitalCapture") + attribute("algorithmicMedia") + attribute(TRAINED))
    assert shared(client, two)[1] == {TRAINED}
    falling = jpeg(attribute("compositeSynthetic") + attribute("algorithmicallyEnhanced"))
    assert shared(make_client(), falling)[1] == {"compositeSynthetic"}


def test_an_unknown_term_in_the_field_is_refused_with_those_that_are_known(
    client: FlaskClient,
) -> None:
    for term in ("madeByHand", "TrainedAlgorithmicMedia", f"{ADDRESS}{TRAINED}", "a\nb"):
        answer = post(client, pictures.photo_jpeg(SIZE), platform="x", digital_source_type=term)
        assert answer.status_code == 422
        (problem,) = answer.get_json()["detail"]
        assert problem["loc"] == ["body", "digital_source_type"]
    answer = post(client, pictures.photo_jpeg(SIZE), platform="x", digital_source_type="x")
    assert TRAINED in answer.get_json()["detail"][0]["msg"]


def test_an_unknown_term_as_the_default_is_reported() -> None:
    with pytest.raises(ConfigurationError, match="DIGITAL_SOURCE_TYPE: found 'ai', expected one"):
        load_settings({"DIGITAL_SOURCE_TYPE": "ai"})


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", "Made with AI"),
        ("de", "Mit KI erstellt"),
        ("fr", "Créé avec l\u2019IA"),
        ("es", "Hecho con IA"),
    ],
)
def test_the_page_says_it_to_people_and_to_programs(
    client: FlaskClient, lang: str, words: str
) -> None:
    alt = "A </script><script>alert(1)</script> & 'pet'"
    share, _ = shared(client, jpeg(attribute(TRAINED)), lang=lang, alt=alt, platform="facebook")
    page = client.get(f"/s/{share['share_id']}").get_data(as_text=True)
    assert words in page
    assert page.count("<script") == page.count("</script") == 1
    block = re.search(r'<script type="application/ld\+json">(.*?)</script>', page, re.DOTALL)
    assert block is not None
    said = json.loads(block[1])
    assert said["@type"] == "ImageObject"
    assert said["contentUrl"] == share["url"]
    assert (said["width"], said["height"]) == (share["width"], share["height"])
    assert said["caption"] == alt
    # https://schema.org/TrainedAlgorithmicMediaDigitalSource
    assert said["digitalSourceType"] == "https://schema.org/TrainedAlgorithmicMediaDigitalSource"


def test_a_repeated_post_must_say_the_same(client: FlaskClient) -> None:
    headers, picture = {"Idempotency-Key": uuid7()}, pictures.photo_jpeg(SIZE)
    statuses = [
        post(client, picture, platform="x", headers=headers, **fields).status_code
        for fields in ({}, {"digital_source_type": TRAINED}, {})
    ]
    assert statuses == [200, 422, 200]


def test_a_mark_keeps_to_the_bytes_that_networks_take() -> None:
    renderer = Renderer(SETTINGS, MemoryBudget(1_000_000_000, max_waiting=1))
    picture, canvas = pictures.photo_jpeg((1200, 900)), card_canvas(None)
    (plain,) = renderer.render(picture, [canvas])
    exact = replace(canvas, max_bytes=len(plain.data))  # no byte is left for a mark
    (marked_one,) = renderer.render(picture, [exact], source_type=TRAINED)
    assert mark_of(marked_one.data) == TRAINED
    assert len(marked_one.data) <= exact.max_bytes


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="no exiftool here")
def test_exiftool_finds_it_and_no_other_metadata(client: FlaskClient, tmp_path: Path) -> None:
    share, _ = shared(client, jpeg(attribute(TRAINED)), platform="facebook")
    path = tmp_path / "published.jpg"
    path.write_bytes(client.get(share["url"] + "?raw").data)
    done = subprocess.run(
        ["exiftool", "-json", "-G", "-n", "-warning", "-error", "-all", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (found,) = json.loads(done.stdout)
    metadata = {
        name: value
        for name, value in found.items()
        if name.startswith(("XMP", "EXIF", "IPTC", "ICC"))
    }
    assert metadata == {"XMP:DigitalSourceType": ADDRESS + TRAINED}
    assert not any("Warning" in name or "Error" in name for name in found)


# --- the search, and the packet


def test_the_packet_is_short_and_the_same_each_time() -> None:
    for term in MACHINE:
        assert len(segment(term)) < 400
        assert segment(term) == segment(term)
        assert segment(term).count(b"\xff\xe1") == 1
    with pytest.raises(ValueError, match="not in"):
        segment("digitalCapture")


def test_machine_terms_are_iptcs() -> None:
    assert {*MACHINE} < {*SOURCE_TYPES}
    assert {*GENERATED} < {*MACHINE}


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=60), st.sampled_from(MACHINE), st.binary(max_size=60))
def test_an_address_is_found_wherever_it_stands(before: bytes, term: str, after: bytes) -> None:
    follows = b"" if not after[:1].isalpha() else b'"'
    for scheme in (b"http", b"https"):
        text = scheme + b"://cv.iptc.org/newscodes/digitalsourcetype/" + term.encode()
        assert claimed(before + text + follows + after) == term


@pytest.mark.parametrize(
    "text",
    [
        b"", b"http://cv.iptc.org/newscodes/digitalsourcetype/",
        b"cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        b"ftp://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        b"http://evil.cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMediaX",
        b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedi",
        b"http://cv.iptc.org/newscodes/digitalsourcetype/TRAINEDALGORITHMICMEDIA",
        b"http://cv.iptc.org/newscodes/digitalsourcetype/" + b"a" * 100_000,
        b"http://cv.iptc.org/newscodes/mediatopic/trainedAlgorithmicMedia",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_machine_is_none(text: bytes) -> None:
    assert claimed(text) == ""


def test_of_very_many_claims_the_first_thousand_count() -> None:
    other = ADDRESS.encode() + b"print "
    mine = ADDRESS.encode() + TRAINED.encode()
    assert claimed(other * (MAX_CLAIMS - 1) + mine) == TRAINED
    assert claimed(other * MAX_CLAIMS + mine) == ""


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=200), st.sampled_from([*MACHINE, "print", "<b>", "x" * 70]))
def test_no_other_byte_of_an_upload_gets_out(more: bytes, term: str) -> None:
    """Whatever stands around an address, the packet is one of a few."""
    assert segment(claimed(more + ADDRESS.encode() + term.encode() + more)) in {
        b"",
        *map(segment, MACHINE),
    }


def test_compressed_text_of_a_png_is_not_looked_into(client: FlaskClient) -> None:
    packed = zlib.compress(attribute(TRAINED))
    assert shared(client, png(packed, head=b"XML:com.adobe.xmp\0\1\0\0\0"))[1] == {""}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.replace(b"trained", b"tra1ned"),
        lambda data: data[:20] + segment(TRAINED) + data[20:],
        lambda data: data[:-2] + segment(TRAINED) + data[-2:],
        lambda data: data.replace(segment(TRAINED), segment("algorithmicMedia")),
        lambda data: data.replace(segment(TRAINED), b""),
    ],
)
def test_any_other_segment_is_not_published(spoil: Callable[[bytes], bytes]) -> None:
    photo = pictures.photo_jpeg(SIZE)
    (card,) = render(photo, read_header(photo, SETTINGS), [card_canvas(None)], SETTINGS)
    good = marked(card.data, TRAINED)
    require_only_pixels(good, segment(TRAINED))
    with pytest.raises(ShareImageError):
        require_only_pixels(spoil(good), segment(TRAINED))
    with pytest.raises(ShareImageError):
        require_only_pixels(good)


def test_the_strongest_of_no_terms_is_none() -> None:
    assert strongest() == strongest("", "print", "nonsense") == ""


def test_pictures_carry_at_most_what_the_list_allows(client: FlaskClient) -> None:
    share, _ = shared(client, jpeg(attribute(TRAINED)))
    data = client.get(share["url"] + "?raw").data
    assert b"Aunt Mary" not in data
    assert Image.open(io.BytesIO(data)).getexif() == {}
