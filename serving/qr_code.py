"""A page as a QR code, for those who see it at a desk: some networks live on phones alone."""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup

CACHE_SHARES = 500  # of 2 kB; drawing one takes about 4 ms
QUIET_MODULES = 4  # ISO/IEC 18004, section 6.3.8: scanners want this much light around the code


@lru_cache(CACHE_SHARES)
def qr_code(url: str) -> Markup:
    """Return an address as an <svg> element, black on nothing: its ground has to be light."""
    import segno  # noqa: PLC0415 - a cold start does not wait for it

    code = segno.make_qr(url, error="m")
    svg = code.svg_inline(omitsize=True, border=QUIET_MODULES, svgclass=None, lineclass=None)
    return Markup(svg)  # noqa: S704 - lines between numbers: of the address, no text is in it
