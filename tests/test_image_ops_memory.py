"""How much memory a picture takes, and whether decode_bytes says so beforehand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pictures
import pytest
from PIL import Image

from config import ImageSettings
from image_ops import decode_bytes, read_header
from platforms import card_canvas, picture_canvas

if TYPE_CHECKING:
    from collections.abc import Callable

    from platforms import Size

ROOT = Path(__file__).parents[1]
CANVASES = (picture_canvas("email", None, max_side_px=1200), card_canvas(None))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# In a process of its own, with the decoder loaded: what one more picture adds at most.
MEASURE = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from config import ImageSettings
from image_ops import read_header, render
from platforms import card_canvas, picture_canvas

settings = ImageSettings()
canvases = (picture_canvas("email", None, max_side_px=1200), card_canvas(None))

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

tiny, large = (Path(name).read_bytes() for name in sys.argv[1:3])
render(tiny, read_header(tiny, settings), canvases, settings)
Path("/proc/self/clear_refs").write_text("5")
idle = status("VmRSS")
render(large, read_header(large, settings), canvases, settings)
print(status("VmHWM") - idle)
"""


def peak_bytes(tiny: bytes, large: bytes, folder: Path) -> int:
    paths = [folder / "tiny", folder / "large"]
    for path, data in zip(paths, (tiny, large), strict=True):
        path.write_bytes(data)
    command = [sys.executable, "-c", MEASURE, *map(str, paths), str(ROOT)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def test_50_megapixels_of_baseline_jpeg_take_less_than_120_megabytes(tmp_path: Path) -> None:
    large = pictures.scene((894, 559)).resize((8944, 5590), Image.Resampling.NEAREST)
    data = pictures.encoded(large, "JPEG", quality=80)
    assert peak_bytes(pictures.photo_jpeg((9, 9)), data, tmp_path) < 120_000_000


SIZE = (2400, 1600)
FILES: dict[str, tuple[Callable[[Size], bytes], Callable[[], bytes]]] = {
    "JPEG": (pictures.photo_jpeg, lambda: pictures.photo_jpeg(SIZE)),
    "progressive": (pictures.photo_jpeg, lambda: pictures.photo_jpeg(SIZE, progressive=True)),
    "progressive 4:4:4": (
        pictures.photo_jpeg,
        lambda: pictures.photo_jpeg(SIZE, progressive=True, subsampling=0),
    ),
    "PNG": (pictures.photo_png, lambda: pictures.photo_png(SIZE)),
    "cut-out": (pictures.cutout_png, lambda: pictures.cutout_png(SIZE)),
    "turned cut-out": (
        pictures.cutout_png,
        lambda: pictures.encoded(
            pictures.cutout(SIZE), "PNG", compress_level=1, exif=pictures.exif(orientation=6)
        ),
    ),
    "palette": (pictures.palette_png, lambda: pictures.palette_png(SIZE)),
    "16 bits": (pictures.grey_png, lambda: pictures.grey_png(SIZE)),
    "GIF": (pictures.gif, lambda: pictures.gif(SIZE)),
    "WebP": (pictures.webp, lambda: pictures.webp(SIZE, alpha=True)),
    "AVIF": (pictures.avif, lambda: pictures.avif(SIZE, alpha=True)),
    "HEIC": (pictures.heic, lambda: pictures.heic((1600, 1200))),
}


@pytest.mark.parametrize("name", FILES)
def test_the_estimate_is_above_the_peak_but_not_far(name: str, tmp_path: Path) -> None:
    small, large = FILES[name]
    data = large()
    peak = peak_bytes(small((9, 9)), data, tmp_path)
    says = decode_bytes(read_header(data, ImageSettings()), CANVASES)
    assert peak <= says + len(data) <= 2.5 * peak + 60_000_000
