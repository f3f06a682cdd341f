"""How pages look: one inline style sheet, the shop's color in it, and what may be loaded.

templates/page.css, ACCENT_COLOR  ->  css, favicon, theme_color  ->  content_security_policy
"""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

if TYPE_CHECKING:
    from config import Settings

    Color = tuple[int, int, int]

TEMPLATES = Path(__file__).parent / "templates"
DEFAULT_ACCENT: Color = (0x7A, 0x2E, 0x12)  # of page.css
WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)

_LINEAR_TO = 0.04045  # of a band of sRGB, as a part of one; above, its curve begins
_FAVICON = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle {}/></svg>'


class Looks:
    """The looks of one shop's pages."""

    def __init__(self, settings: Settings) -> None:
        self._accent = settings.accent_color

    @cached_property
    def css(self) -> Markup:
        """The style sheet of every page."""
        css = (TEMPLATES / "page.css").read_text("utf-8")
        if self._accent is not None:  # last, so that it counts on light and dark ground
            ink = hex_color(ink_on(self._accent))
            css += f":root {{ --accent: {self.theme_color}; --on-accent: {ink}; }}\n"
        return Markup(css)  # noqa: S704 - our own file, and numbers

    @property
    def theme_color(self) -> str:
        """What a browser may color its own surface with."""
        return hex_color(self._accent or DEFAULT_ACCENT)

    @cached_property
    def favicon(self) -> str:
        """A dot in the shop's color, as a data URL: pages load nothing but their pictures."""
        dot = f'cx="4.5" cy="4.5" r="4.5" fill="{self.theme_color}"'
        return "data:image/svg+xml," + quote(_FAVICON.format(dot))

    @cached_property
    def content_security_policy(self) -> str:
        """The policy of every page: our own pictures, this style sheet, and nothing else."""
        digest = base64.b64encode(hashlib.sha256(self.css.encode()).digest()).decode()
        return (
            f"default-src 'none'; img-src 'self' data:; style-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


def ink_on(ground: Color) -> Color:
    """Return white or black, whichever reads better: at least 4.5:1 on any ground."""
    return max(WHITE, BLACK, key=lambda ink: contrast(ink, ground))


def contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio of two colors, 1 to 21.

    Source: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
    """
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def hex_color(color: Color) -> str:
    """Return a color as #rrggbb."""
    return "#" + bytes(color).hex()


def _luminance(color: Color) -> float:
    """Source: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    shares = (band / 255 for band in color)
    linear = [s / 12.92 if s <= _LINEAR_TO else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
