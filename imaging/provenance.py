"""The mark that a machine made or changed a picture, and nothing else of an upload's metadata.

    upload ── claimed ──┐
    the form's field ───┼── strongest ── marked: one XMP packet, the same for every picture
    DIGITAL_SOURCE_TYPE ┘

XMP and C2PA manifests hold the address of an IPTC term as plain bytes. It is looked for in the file
as a whole: nothing of a file's structure is read, so that there is nothing to attack.

Source: https://cv.iptc.org/newscodes/digitalsourcetype/
"""

from __future__ import annotations

import re
import struct

# The terms that say that a machine made or changed it, the one that says most first.
MACHINE = (
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "compositeSynthetic",
    "algorithmicMedia",
    "algorithmicallyEnhanced",
)
# Of those, the ones that generative models make: said on the share's page.
GENERATED = frozenset(MACHINE[:3])
MAX_CLAIMS = 1000  # what is behind so many is not looked at

_VOCABULARY = b"cv.iptc.org/newscodes/digitalsourcetype/"
_SCHEME = re.compile(rb"https?://\Z")
_CBOR_TEXT = 0x78  # a byte with the number of its bytes follows (RFC 8949, section 3)
_TERM = re.compile(rb"[A-Za-z]{0,64}")
_RANK = {term.encode(): rank for rank, term in enumerate(MACHINE)}
_PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' e:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{term}"/>'
    "</rdf:RDF></x:xmpmeta>"
)
_APP1 = b"\xff\xe1"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"  # XMP, part 3, section 1.1.3


def claimed(data: bytes) -> str:
    """Return the strongest of the terms of MACHINE that a file names, "" if it names none."""
    best, at = len(MACHINE), data.find(_VOCABULARY)
    for _ in range(MAX_CLAIMS):
        if at < 0 or best == 0:
            break
        end = at + len(_VOCABULARY)
        scheme = _SCHEME.search(data[max(0, at - 8) : at])
        if scheme:
            best = min(best, _RANK.get(_term(data, at - len(scheme[0]), end), best))
        at = data.find(_VOCABULARY, end)
    return MACHINE[best] if best < len(MACHINE) else ""


def strongest(*terms: str) -> str:
    """Return the term that says most about a machine, "" where none says that."""
    return min((term for term in terms if term in MACHINE), key=MACHINE.index, default="")


def segment(term: str) -> bytes:
    """Return the segment of a JPEG that says a term of MACHINE, "" for no segment."""
    if not term:
        return b""
    body = _XMP + _PACKET.format(term=MACHINE[MACHINE.index(term)]).encode()
    return _APP1 + struct.pack(">H", len(body) + 2) + body


def marked(jpeg: bytes, term: str) -> bytes:
    """Return a JPEG of ours with the segment of a term behind its first one, which is JFIF's."""
    (length,) = struct.unpack_from(">H", jpeg, 4)
    return jpeg[: 4 + length] + segment(term) + jpeg[4 + length :]


def _term(data: bytes, begin: int, start: int) -> bytes:
    """Return what follows an address, which stands from begin to start.

    XMP ends it with a quote or a tag. CBOR says its length before it, and the next value follows at
    once: what that begins with may look like a letter.
    """
    if begin >= 2 and data[begin - 2] == _CBOR_TEXT:  # noqa: PLR2004 - what stands before
        counted = data[start : begin + data[begin - 1]]
        if counted in _RANK:
            return counted
    found = _TERM.match(data, start)
    return found[0] if found else b""
