"""How pictures are framed: what goes onto the contact sheet, and whose faces stay whole.

scripts/bench --faces       how many faces of tests/pets.py, and of photos, windows leave whole
scripts/bench --sheet FILE  shows each of SUBJECTS, among others
"""

# ruff: noqa: E402 - the search path comes before what is found by it
from __future__ import annotations

import io
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import pets
import pictures
import pyvips  # type: ignore[import-untyped, import-not-found, unused-ignore]
from PIL import Image, ImageDraw, ImageFilter

from config import ImageSettings
from image_ops import read_header, render
from imaging.geometry import Canvas, Fit, frame
from imaging.resizing import glance
from imaging.saliency import SIDE, interest
from platforms import CANVAS_SIZES, PICTURE_MAX_BYTES, picture_canvas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imaging.geometry import Box, Region, Size

# Pets whose pictures cover a canvas.
COVERED = {"facebook": (0, 4, 6, 8, 13, 19), "instagram": (30, 31, 36, 39, 41, 43)}
PRECISION = 0.03  # of a face, to which it is marked


# --- the contact sheet


def framed() -> Iterator[tuple[str, Image.Image]]:
    """Yield what is made of each subject, with its name."""
    cases: list[tuple[str, Image.Image, str, Fit | None, ImageSettings]] = []
    plain = ImageSettings()
    cases += [
        ("cover", pets.drawn(pets.PETS[number]), platform, Fit.COVER, plain)
        for platform, numbers in COVERED.items()
        for number in numbers
    ]
    small = pets.drawn(pets.PETS[22]).resize((240, 320))
    cases.append(("cover must cover", small, "facebook", Fit.COVER, plain))
    photo, wide = pets.drawn(pets.PETS[6]), pets.drawn(pets.PETS[33])
    singles = (
        ("ground", photo, "facebook"),
        ("ground", wide, "instagram"),
        ("ground", striped((600, 800)), "facebook"),
        ("ground of a panorama", panorama(), "tiktok"),
        ("ground, four sides", photo.resize((225, 300)), "facebook"),
        ("rounded corners", rounded(screenshot(), 160), "facebook"),
        ("rounded corners", rounded(wide.resize((1200, 900)), 140), "tiktok"),
        ("cut at the bottom", bust(), "facebook"),
        ("cut at the bottom", bust(), "instagram"),
        ("cut left and right", lying(), "facebook"),
        ("cut left and right", lying(), "instagram"),
        ("whole", pets.alone(pets.PETS[0]), "facebook"),
        ("soft shadow", shadowed(), "facebook"),
        ("white on white", white(pets.alone(pets.PETS[4])), "facebook"),
        ("white on white", white_bust(), "instagram"),
    )
    cases += [(name, one, platform, None, plain) for name, one, platform in singles]
    black = ImageSettings(background_color=(20, 20, 22))
    cases.append(("black on black", pets.alone(pets.PETS[20]), "facebook", None, black))
    for text in ("Perkie Prints", "Лапы и хвосты", "Πατούσες"):
        marked = ImageSettings(watermark_text=text)
        cases.append((text, wide.resize((1200, 900)), "email", None, marked))
    for name, picture, platform, fit, settings in cases:
        canvas = picture_canvas(platform, fit, max_side_px=1200)
        yield name, rendered(picture, canvas, settings)


def rendered(picture: Image.Image, canvas: Canvas, settings: ImageSettings) -> Image.Image:
    """Return what becomes of a picture on a canvas."""
    data = pictures.encoded(picture, "PNG", compress_level=1)
    (rendition,) = render(data, read_header(data, settings), [canvas], settings)
    return Image.open(io.BytesIO(rendition.data))


def striped(size: Size, step: int = 16) -> Image.Image:
    """Return hard horizontal stripes."""
    picture = Image.new("RGB", size, (235, 230, 225))
    for top in range(0, size[1], 2 * step):
        picture.paste((30, 34, 60), (0, top, size[0], top + step))
    return picture


def panorama() -> Image.Image:
    """Return four faces in a row, 4:1."""
    picture = Image.new("RGB", (1600, 400))
    for n, number in enumerate((0, 5, 7, 25)):
        one = pets.PETS[number]
        left, top = one.eyes[0] - 150, one.eyes[1] - 150
        face = pets.drawn(one).crop((left, top, left + 300, top + 300))
        picture.paste(face.resize((400, 400)), (400 * n, 0))
    return picture


def rounded(picture: Image.Image, radius: int) -> Image.Image:
    """Return a picture whose corners are transparent, as on a phone's screen."""
    alpha = Image.new("L", picture.size)
    ImageDraw.Draw(alpha).rounded_rectangle((0, 0, *picture.size), radius, fill=255)
    picture = picture.copy()
    picture.putalpha(alpha)
    return picture


def screenshot() -> Image.Image:
    """Return a phone's screen, 1170x2532."""
    picture = Image.new("RGB", (1170, 2532), (58, 96, 72))
    picture.paste(pets.drawn(pets.PETS[0]).resize((1170, 1560)), (0, 400))
    return picture


def bust() -> Image.Image:
    """Return a pet without its surroundings, cut off by the bottom."""
    whole = pets.alone(pets.PETS[6])
    picture = Image.new("RGBA", (900, 700))
    picture.paste(whole.crop((0, 150, 600, 650)), (150, 200))
    return picture


def lying() -> Image.Image:
    """Return a pet without its surroundings, cut off by the left and the right."""
    return pets.alone(pets.PETS[39]).crop((330, 0, 620, 450))


def white_bust() -> Image.Image:
    """Return a white pet without its surroundings, cut off by the bottom."""
    return white(pets.alone(pets.PETS[25])).crop((0, 120, 480, 560))


def white(pet: Image.Image) -> Image.Image:
    """Return a pet in snow-white fur, its outline as well."""
    light = pet.convert("RGB").point(
        [min(255, 2 * n) if n < 110 else 220 + n // 8 for n in range(256)] * 3
    )
    light.putalpha(pet.getchannel("A"))
    return light


def shadowed() -> Image.Image:
    """Return a pet with a soft shadow of its own, as editing programs make them."""
    pet = pets.alone(pets.PETS[0]).resize((900, 1200))
    shadow = Image.new("L", (1400, 1500))
    shadow.paste(pet.getchannel("A").resize((900, 200)), (250, 1150))
    shadow = shadow.filter(ImageFilter.GaussianBlur(50)).point([n // 3 for n in range(256)])
    picture = Image.new("RGBA", shadow.size)
    picture.putalpha(shadow)
    picture.alpha_composite(pet, (250, 150))
    return picture


# --- faces


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A picture with a face on it, and the canvas that it must cover."""

    kind: str
    picture: Image.Image
    face: Box
    canvas: Size

    @property
    def window(self) -> tuple[float, float]:
        """The size of what the canvas shows, in px of the picture."""
        scale = max(c / p for c, p in zip(self.canvas, self.picture.size, strict=True))
        return self.canvas[0] / scale, self.canvas[1] / scale

    def shown(self, region: Region) -> float:
        """Return the share of the face that a region holds."""
        left, top, right, bottom = self.face
        across = max(0, min(right, region[2]) - max(left, region[0]))
        down = max(0, min(bottom, region[3]) - max(top, region[1]))
        return across * down / ((right - left) * (bottom - top))

    def is_whole(self, region: Region) -> bool:
        """Return whether a region holds the face."""
        left, top, right, bottom = self.face
        x, y = PRECISION * (right - left), PRECISION * (bottom - top)
        return (
            region[0] <= left + x
            and region[1] <= top + y
            and region[2] >= right - x
            and region[3] >= bottom - y
        )


def cases() -> list[Case]:
    """Return drawn pets and photos, those aside whose faces are larger than the window."""
    found = []
    for pet in pets.PETS:
        networks = ("facebook",) if pet.size[0] < pet.size[1] else ("instagram", "tiktok")
        kind = "drawn, upright" if len(networks) == 1 else "drawn, wide"
        found += [
            Case(kind=kind, picture=pets.drawn(pet), face=pet.face, canvas=CANVAS_SIZES[network])
            for network in networks
        ]
    found += photos()
    return [
        case
        for case in found
        if case.is_whole((case.face[0], case.face[1], *_at(case.face, case.window)))
    ]


def _at(box: Box, size: tuple[float, float]) -> tuple[float, float]:
    return box[0] + size[0], box[1] + size[1]


def photos() -> Iterator[Case]:
    """Yield what scikit-image ships: a cat, an astronaut, a photographer; faces marked by hand."""
    folder = next(Path(path) for path in sys.path if (Path(path) / "skimage").is_dir())
    folder = folder / "skimage" / "data"
    cat_face = (120, 15, 330, 245)
    for name, cut, face in (
        ("chelsea.png", (0, 0, 451, 300), cat_face),
        ("chelsea.png", (0, 0, 360, 300), cat_face),
        ("chelsea.png", (90, 0, 451, 300), cat_face),
        ("astronaut.png", (0, 0, 512, 512), (165, 20, 285, 205)),
        ("astronaut.png", (60, 0, 420, 512), (165, 20, 285, 205)),
        ("camera.png", (0, 0, 512, 512), (200, 60, 290, 170)),
    ):
        picture = Image.open(folder / name).convert("RGB").crop(cut)
        shift = (cut[0], cut[1], cut[0], cut[1])
        left, top, right, bottom = (at - by for at, by in zip(face, shift, strict=True))
        network = "instagram" if picture.width > picture.height else "facebook"
        yield Case(
            kind="photos",
            picture=picture,
            face=(left, top, right, bottom),
            canvas=CANVAS_SIZES[network],
        )
    cat = Image.open(folder / "chelsea.png").convert("RGB").resize((397, 264))
    mask = Image.new("L", cat.size)
    ImageDraw.Draw(mask).rectangle((20, 20, 377, 244), fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(10))
    for top in (220, 150, 40):  # upright, with blurred surroundings
        picture = cat.resize((400, 600)).filter(ImageFilter.GaussianBlur(25))
        picture.paste(cat, (0, top), mask)
        face = (106, top + 13, 290, top + 216)
        yield Case(kind="photos", picture=picture, face=face, canvas=CANVAS_SIZES["facebook"])


def ours(case: Case) -> Region:
    """Return the window that the program chooses."""
    canvas = Canvas(size=case.canvas, fit=Fit.COVER, max_bytes=PICTURE_MAX_BYTES)
    seen = interest(glance(case.picture, SIDE))
    return frame(case.picture.size, canvas, interest=seen).region


def fixed(share: float) -> Callable[[Case], Region]:
    """Return the window in the middle across, and so far down as a share of what is left."""

    def window(case: Case) -> Region:
        width, height = case.window
        left, top = (case.picture.width - width) / 2, (case.picture.height - height) * share
        return left, top, left + width, top + height

    return window


def vips(interesting: str) -> Callable[[Case], Region]:
    """Return the window that libvips chooses."""

    def window(case: Case) -> Region:
        size, data = case.picture.size, case.picture.tobytes()
        picture = pyvips.Image.new_from_memory(data, *size, 3, "uchar")
        found = picture.smartcrop(*map(round, case.window), interesting=interesting)
        left, top = -found.xoffset, -found.yoffset
        return left, top, left + found.width, top + found.height

    return window


def report_faces() -> None:
    """Print how many faces stay whole, and how much of them is shown, by the way of choosing."""
    methods = {
        "ours": ours,
        "the middle": fixed(0.5),
        "25 % from the top": fixed(0.25),
        "libvips, attention": vips("attention"),
        "libvips, entropy": vips("entropy"),
    }
    every = cases()
    kinds = list(dict.fromkeys(case.kind for case in every))
    print("| faces whole | " + " | ".join(kinds) + " | all | of all faces, shown |")
    print("|---" * (len(kinds) + 3) + "|")
    for name, window in methods.items():
        whole: dict[str, int] = defaultdict(int)
        share = 0.0
        for case in every:
            region = window(case)
            whole[case.kind] += case.is_whole(region)
            share += case.shown(region) / len(every)
        counts = [f"{whole[kind]} of {sum(c.kind == kind for c in every)}" for kind in kinds]
        every_one = f"{sum(whole.values())} of {len(every)} | {share:.0%}"
        print(f"| {name} | " + " | ".join(counts) + f" | {every_one} |")


if __name__ == "__main__":
    report_faces()
