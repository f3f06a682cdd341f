"""What a published JPEG may hold: a list, so that whatever is not on it is found."""

from __future__ import annotations

import re
import struct

# Source: ITU-T T.81, table B.1; T.871 for the content of APP0.
NAMES = {0xE0: "APP0", 0xDB: "DQT", 0xC2: "SOF2", 0xC4: "DHT", 0xDA: "SOS"}
TERMS = (
    *("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"),
    *("algorithmicMedia", "algorithmicallyEnhanced"),
)
PACKET = (
    b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about=""'
    b' xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" e:DigitalSourceType='
    b'"http://cv.iptc.org/newscodes/digitalsourcetype/%b"/></rdf:RDF></x:xmpmeta>'
)
MARKS = [
    b"\xff\xe1" + struct.pack(">H", len(PACKET % term.encode()) + 2) + PACKET % term.encode()
    for term in TERMS
]
JFIF = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"


def assert_only_pixels(jpeg: bytes, *, may_be_marked: bool = False) -> None:
    """Hold every byte of a JPEG to one of the segments that pixels need.

    may_be_marked: one of MARKS may come second.
    """
    if may_be_marked and jpeg[20:22] == b"\xff\xe1":
        (mark,) = (mark for mark in MARKS if jpeg[20:].startswith(mark))
        jpeg = jpeg[:20] + jpeg[20 + len(mark) :]
    assert jpeg[:2] == b"\xff\xd8"
    position, names = 2, []
    while jpeg[position : position + 2] != b"\xff\xd9":
        mark, marker, length = struct.unpack_from(">BBH", jpeg, position)
        assert mark == 0xFF
        assert marker in NAMES, f"a segment {marker:02X}: {jpeg[position : position + 60]!r}"
        names.append(NAMES[marker])
        body = jpeg[position + 4 : position + 2 + length]
        _assert_length(names[-1], body)
        position += 2 + length
        if names[-1] == "SOS":  # entropy-coded bytes, where FF is followed by 00
            entropy = re.compile(rb"(?:[^\xff]|\xff\x00)*").match(jpeg, position)
            assert entropy is not None
            position = entropy.end()
    assert position + 2 == len(jpeg), f"behind the end: {jpeg[position + 2 : position + 60]!r}"
    assert names[0] == "APP0"
    assert names.count("APP0") == names.count("SOF2") == 1


def _assert_length(name: str, body: bytes) -> None:
    """Hold a segment to the length that its content says, so that nothing is behind it."""
    if name == "APP0":
        assert body == JFIF
    elif name == "DQT":
        assert len(body) % 65 == 0
    elif name == "SOF2":
        assert len(body) == 6 + 3 * body[5]
    elif name == "SOS":
        assert len(body) == 4 + 2 * body[0]
    else:
        while body:
            body = body[17 + sum(body[1:17]) :]
