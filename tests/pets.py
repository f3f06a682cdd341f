"""Drawn pets with their faces marked: what a window onto a photo must not cut.

    pet    ground ── what lies about ── body ── head ── grain      a row of PETS, as a picture

Each picture is drawn at half its size and enlarged, so that it is as soft as a photo. Drawn by code
because photos of pets that may be copied are hard to come by; what they have in common with photos
is what windows are chosen by: where faces are, fur, eyes, a ground in or out of focus, and things
that are louder than the pet.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from imaging.geometry import Box, Size

Color = tuple[int, int, int]

BLACK, GREY, WHITE = (38, 36, 40), (128, 126, 130), (236, 232, 226)
BROWN, GINGER, CREAM = (104, 70, 46), (204, 128, 62), (222, 196, 156)
NOSE, PINK, EYE = (34, 26, 26), (214, 140, 140), (92, 66, 22)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pet:
    """A row of the table.

    size: of the picture in px; eyes: where the middle between them is, and radius: half the width
    of the face, in px; pose: where the body is; ground: a name of GROUNDS; toy: whether something
    loud lies about.
    """

    size: Size
    eyes: tuple[int, int]
    radius: int
    coat: Color
    pose: str
    ground: str
    ears: str = "pointed"
    toy: bool = False

    @property
    def face(self) -> Box:
        """The box from the tips of the ears to the chin, in px."""
        (x, y), r = self.eyes, self.radius
        ear = 1.05 if self.ears == "pointed" else 0.75
        return (x - r, round(y - ear * r), x + r, round(y + 1.05 * r))


def _portraits() -> list[Pet]:
    sit, close, lie, stand = "sit", "close", "lie", "stand"
    rows: list[tuple[Size, tuple[int, int], int, Color, str, str, str, bool]] = [
        ((600, 800), (300, 240), 92, GINGER, sit, "room", "pointed", False),
        ((600, 800), (280, 300), 104, BLACK, sit, "sofa", "pointed", False),
        ((600, 800), (330, 210), 84, CREAM, sit, "lawn", "hanging", False),
        ((600, 800), (260, 270), 96, BROWN, sit, "bokeh", "hanging", True),
        ((600, 800), (310, 190), 74, WHITE, sit, "lawn", "hanging", False),
        ((600, 800), (300, 330), 122, GREY, close, "bokeh", "pointed", False),
        ((600, 800), (290, 360), 128, GINGER, close, "sofa", "pointed", False),
        ((600, 800), (320, 420), 110, CREAM, close, "room", "hanging", False),
        ((600, 800), (200, 430), 84, BLACK, lie, "sofa", "pointed", False),
        ((600, 800), (400, 470), 88, GINGER, lie, "room", "pointed", True),
        ((600, 800), (210, 500), 76, WHITE, lie, "lawn", "hanging", False),
        ((600, 800), (350, 340), 56, BROWN, stand, "lawn", "hanging", False),
        ((600, 800), (250, 300), 60, BLACK, stand, "snow", "pointed", False),
        ((600, 800), (300, 560), 100, GREY, close, "room", "pointed", False),
        ((450, 800), (220, 260), 84, BROWN, sit, "room", "hanging", True),
        ((450, 800), (240, 200), 72, GREY, sit, "lawn", "pointed", False),
        ((450, 800), (200, 330), 92, CREAM, sit, "sofa", "hanging", False),
        ((450, 800), (225, 370), 88, WHITE, sit, "bokeh", "pointed", False),
        ((450, 800), (230, 420), 100, BLACK, close, "bokeh", "hanging", False),
        ((450, 800), (250, 300), 64, GINGER, stand, "lawn", "pointed", True),
        ((450, 800), (200, 150), 66, BLACK, sit, "snow", "hanging", False),
        ((450, 800), (225, 520), 86, GINGER, lie, "sofa", "pointed", False),
        ((480, 640), (240, 170), 76, CREAM, sit, "bokeh", "hanging", False),
        ((480, 640), (250, 220), 92, GREY, sit, "room", "pointed", False),
        ((480, 640), (230, 250), 108, BLACK, close, "sofa", "pointed", False),
        ((480, 640), (260, 300), 112, WHITE, close, "lawn", "hanging", False),
        ((480, 640), (180, 340), 70, BROWN, lie, "room", "hanging", True),
        ((480, 640), (300, 200), 58, GINGER, stand, "snow", "pointed", False),
        ((600, 750), (300, 250), 100, BLACK, sit, "lawn", "hanging", False),
        ((600, 750), (240, 220), 86, GREY, sit, "sofa", "pointed", True),
    ]
    return [_pet(row) for row in rows]


def _landscapes() -> list[Pet]:
    sit, close, lie, stand = "sit", "close", "lie", "stand"
    rows: list[tuple[Size, tuple[int, int], int, Color, str, str, str, bool]] = [
        ((800, 600), (240, 240), 96, GINGER, lie, "sofa", "pointed", False),
        ((800, 600), (560, 260), 92, BLACK, lie, "room", "pointed", False),
        ((800, 600), (200, 220), 88, CREAM, lie, "lawn", "hanging", True),
        ((800, 600), (400, 230), 110, BROWN, sit, "bokeh", "hanging", False),
        ((800, 600), (300, 250), 120, WHITE, close, "room", "pointed", False),
        ((800, 600), (530, 280), 116, GREY, close, "sofa", "pointed", False),
        ((800, 600), (600, 200), 64, BROWN, stand, "snow", "hanging", False),
        ((800, 600), (220, 190), 60, GINGER, stand, "lawn", "pointed", False),
        ((800, 450), (250, 180), 84, BLACK, sit, "sofa", "hanging", False),
        ((800, 450), (560, 170), 80, WHITE, lie, "lawn", "hanging", False),
        ((800, 450), (380, 200), 100, GINGER, close, "bokeh", "pointed", False),
        ((800, 450), (620, 160), 62, GREY, stand, "room", "pointed", True),
        ((750, 500), (470, 190), 86, CREAM, sit, "lawn", "hanging", True),
        ((750, 500), (200, 230), 92, GREY, lie, "bokeh", "pointed", False),
    ]
    return [_pet(row) for row in rows]


def _pet(row: tuple[Size, tuple[int, int], int, Color, str, str, str, bool]) -> Pet:
    size, eyes, radius, coat, pose, ground, ears, toy = row
    return Pet(
        size=size, eyes=eyes, radius=radius, coat=coat, pose=pose, ground=ground, ears=ears, toy=toy
    )


PETS = (*_portraits(), *_landscapes())


@lru_cache(maxsize=len(PETS))
def drawn(pet: Pet) -> Image.Image:
    """Return the photo of a pet, mode RGB; do not change it, it is cached."""
    width, height = pet.size[0] // 2, pet.size[1] // 2
    seeded = random.Random(str(pet))
    picture = GROUNDS[pet.ground]((width, height), seeded)
    if pet.toy:
        _draw_toy(picture, seeded)
    picture = _on_ground(picture, _body(pet, (width, height)), pet.coat, seeded)
    head = Image.new("L", picture.size)
    _draw_head(head, pet)
    picture = _on_ground(picture, head, _lighter(pet.coat, 1.12), seeded)
    _draw_face(picture, pet)
    grain = Image.effect_noise(picture.size, 16).convert("RGB")
    picture = Image.blend(picture, grain, 0.06)
    return picture.resize(pet.size, Image.Resampling.BICUBIC)


def alone(pet: Pet) -> Image.Image:
    """Return the same pet without its surroundings, mode RGBA."""
    mask = _body(pet, (pet.size[0] // 2, pet.size[1] // 2))
    _draw_head(mask, pet)
    picture = drawn(pet).copy()
    picture.putalpha(mask.resize(pet.size, Image.Resampling.BICUBIC))
    return picture


def _half(pet: Pet) -> tuple[float, float, float]:
    return pet.eyes[0] / 2, pet.eyes[1] / 2, pet.radius / 2


def _body(pet: Pet, size: Size) -> Image.Image:
    x, y, r = _half(pet)
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    to_the_middle = 1 if x < size[0] / 2 else -1
    if pet.pose == "sit":
        draw.ellipse((x - 1.25 * r, y + 0.4 * r, x + 1.25 * r, y + 4.6 * r), fill=255)
        draw.ellipse((x - 1.7 * r, y + 2.4 * r, x + 1.7 * r, y + 5.2 * r), fill=255)
    elif pet.pose == "close":
        draw.ellipse((x - 2.1 * r, y + 0.5 * r, x + 2.1 * r, y + 6 * r), fill=255)
    elif pet.pose == "lie":
        far = x + to_the_middle * 4.2 * r
        draw.ellipse((min(x, far), y - 0.2 * r, max(x, far), y + 1.9 * r), fill=255)
        draw.ellipse((x - 1.1 * r, y + 0.9 * r, x + 1.1 * r, y + 1.9 * r), fill=255)
    else:
        far = x + to_the_middle * 4 * r
        draw.ellipse((min(x, far), y + 0.4 * r, max(x, far), y + 2.4 * r), fill=255)
        for leg in (0.5, 1.1, 3.0, 3.6):
            at = x + to_the_middle * leg * r
            draw.rectangle((at - 0.2 * r, y + 1.6 * r, at + 0.2 * r, y + 4 * r), fill=255)
    return mask


def _draw_head(mask: Image.Image, pet: Pet) -> None:
    x, y, r = _half(pet)
    draw = ImageDraw.Draw(mask)
    draw.ellipse((x - 0.95 * r, y - 0.75 * r, x + 0.95 * r, y + 1.05 * r), fill=255)
    for side in (-1, 1):
        if pet.ears == "pointed":
            tip = (x + side * 0.85 * r, y - 1.05 * r)
            draw.polygon([(x + side * 0.92 * r, y), tip, (x + side * 0.2 * r, y - 0.65 * r)], 255)
        else:
            outer, inner = x + side * r, x + side * 0.55 * r
            draw.ellipse((min(outer, inner), y - 0.5 * r, max(outer, inner), y + 0.8 * r), fill=255)


def _draw_face(picture: Image.Image, pet: Pet) -> None:
    x, y, r = _half(pet)
    draw = ImageDraw.Draw(picture)
    muzzle = _lighter(pet.coat, 1.3)
    draw.ellipse((x - 0.45 * r, y + 0.15 * r, x + 0.45 * r, y + 0.95 * r), fill=muzzle)
    for side in (-1, 1):
        at, size = x + side * 0.42 * r, 0.2 * r
        draw.ellipse((at - size, y - size, at + size, y + size), fill=EYE)
        draw.ellipse((at - 0.6 * size, y - 0.7 * size, at + 0.6 * size, y + 0.7 * size), fill=NOSE)
        shine = (at - 0.3 * size, y - 0.5 * size, at, y - 0.1 * size)
        draw.ellipse(shine, fill=(255, 255, 255))
    draw.ellipse((x - 0.17 * r, y + 0.28 * r, x + 0.17 * r, y + 0.5 * r), fill=NOSE)
    draw.line((x, y + 0.5 * r, x, y + 0.7 * r), fill=NOSE, width=2)
    if pet.coat == WHITE:
        draw.ellipse((x - 0.1 * r, y + 0.7 * r, x + 0.1 * r, y + 0.85 * r), fill=PINK)


def _on_ground(
    picture: Image.Image, mask: Image.Image, coat: Color, seeded: random.Random
) -> Image.Image:
    """Return a shape in fur on a picture: streaks, light from above, an edge of hairs."""
    width, height = picture.size
    cells = (max(1, width // 2), max(1, height // 5))
    streaks = Image.frombytes("L", cells, seeded.randbytes(cells[0] * cells[1]))
    streaks = streaks.resize(picture.size, Image.Resampling.BICUBIC)
    light = Image.linear_gradient("L").rotate(180).resize(picture.size)
    shade = Image.blend(streaks, light, 0.35)
    dark, bright = _lighter(coat, 0.62), _lighter(coat, 1.25)
    bands = [
        shade.point([a + (b - a) * n // 255 for n in range(256)])
        for a, b in zip(dark, bright, strict=True)
    ]
    rough = ImageChops.offset(mask.filter(ImageFilter.GaussianBlur(1.2)), seeded.choice((0, 1)), 0)
    return Image.composite(Image.merge("RGB", bands), picture, rough)


def _draw_toy(picture: Image.Image, seeded: random.Random) -> None:
    width, height = picture.size
    r = min(width, height) // 12
    x, y = round(width * seeded.choice((0.15, 0.8))), round(height * 0.88)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((x - r, y - r, x + r, y + r), fill=(220, 40, 50))
    draw.arc((x - r, y - r, x + r, y + r), 200, 340, fill=(250, 240, 60), width=3)


def _lighter(color: Color, factor: float) -> Color:
    red, green, blue = (min(255, round(level * factor)) for level in color)
    return red, green, blue


def _noise(
    size: Size, cell: int, colors: tuple[Color, Color], seeded: random.Random
) -> Image.Image:
    """Return a ground that varies between two colours, in patches of so many px."""
    cells = (size[0] // cell + 2, size[1] // cell + 2)
    patches = Image.frombytes("L", cells, seeded.randbytes(cells[0] * cells[1]))
    patches = patches.resize(size, Image.Resampling.BICUBIC)
    dark, bright = colors
    return Image.merge(
        "RGB",
        [
            patches.point([a + (b - a) * n // 255 for n in range(256)])
            for a, b in zip(dark, bright, strict=True)
        ],
    )


def _room(size: Size, seeded: random.Random) -> Image.Image:
    """Return a wall with a picture and a skirting board, and boards for a floor."""
    width, height = size
    picture = _noise(size, 40, ((196, 184, 166), (212, 202, 186)), seeded)
    draw = ImageDraw.Draw(picture)
    floor = round(height * 0.72)
    draw.rectangle((0, floor, width, height), fill=(150, 110, 74))
    draw.rectangle((0, floor - 8, width, floor), fill=(240, 238, 232))
    for n in range(-6, 14):
        draw.line((width * n // 8, floor, width * (n * 2 - 4) // 8, height), fill=(112, 80, 52))
    frame = (width * 0.68, height * 0.06, width * 0.92, height * 0.26)
    draw.rectangle(frame, fill=(60, 90, 120), outline=(50, 36, 24), width=4)
    return picture


def _sofa(size: Size, seeded: random.Random) -> Image.Image:
    """Return cushions with seams and checks."""
    width, height = size
    picture = _noise(size, 3, ((70, 88, 110), (96, 112, 134)), seeded)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, width, height * 0.16), fill=(204, 198, 190))
    for x in (width * 0.33, width * 0.7):
        draw.line((x, height * 0.16, x, height * 0.7), fill=(40, 52, 70), width=3)
    draw.line((0, height * 0.7, width, height * 0.72), fill=(36, 46, 62), width=4)
    for n in range(0, width, 12):
        draw.line((n, height * 0.72, n, height), fill=(120, 70, 76))
    return picture


def _lawn(size: Size, seeded: random.Random) -> Image.Image:
    """Return trees out of focus, and below them blades of grass in focus."""
    width, height = size
    picture = _noise(size, 26, ((58, 84, 50), (150, 176, 140)), seeded)
    draw = ImageDraw.Draw(picture)
    for _ in range(width * height // 60):
        x, y = seeded.randrange(width), round(height * (0.5 + 0.5 * seeded.random()))
        length, lean = seeded.randrange(4, 14), seeded.randrange(-4, 5)
        green = seeded.randrange(90, 190)
        draw.line((x, y, x + lean, y - length), fill=(green // 2, green, green // 4))
    return picture


def _bokeh(size: Size, seeded: random.Random) -> Image.Image:
    """Return lights out of focus."""
    width, height = size
    picture = _noise(size, 60, ((30, 36, 60), (84, 60, 70)), seeded)
    draw = ImageDraw.Draw(picture)
    for _ in range(16):
        x, y, r = seeded.randrange(width), seeded.randrange(height), seeded.randrange(8, 26)
        glow = (seeded.randrange(120, 250), seeded.randrange(100, 220), seeded.randrange(60, 190))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=glow)
    return picture.filter(ImageFilter.GaussianBlur(9))


def _snow(size: Size, seeded: random.Random) -> Image.Image:
    """Return snow under a dark wood."""
    width, height = size
    picture = _noise(size, 12, ((208, 214, 226), (238, 242, 250)), seeded)
    draw = ImageDraw.Draw(picture)
    edge = [(0, 0), (0, height * 0.2)]
    for x in range(0, width + 10, 10):
        top = height * (0.16 + 0.05 * math.sin(x / 17) + 0.03 * seeded.random())
        edge.append((x, top))
    draw.polygon([*edge, (width, 0)], fill=(62, 74, 70))
    return picture


GROUNDS: dict[str, Callable[[Size, random.Random], Image.Image]] = {
    "room": _room,
    "sofa": _sofa,
    "lawn": _lawn,
    "bokeh": _bokeh,
    "snow": _snow,
}
