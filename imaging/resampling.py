"""Pictures from one size to another, in a fifth of the time that Pillow's own resize takes.

cykooz_resizer (the Rust crate fast_image_resize) computes what Pillow computes, to 2 of 255 levels,
with SSE4.1 or AVX2, in Pillow's own memory and without the interpreter lock: 4.5 ms of CPU instead
of 29 for a JPEG of 3 megapixels in YCbCr, 6 instead of 45 with alpha.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions
from cykooz_resizer.rust_lib import PilImageWrapper, RustResizer
from PIL import Image

if TYPE_CHECKING:
    from imaging.geometry import Region, Size

_FILTERS = {
    Image.Resampling.BOX: ResizeAlg.convolution(FilterType.box),
    Image.Resampling.BILINEAR: ResizeAlg.convolution(FilterType.bilinear),
    Image.Resampling.LANCZOS: ResizeAlg.convolution(FilterType.lanczos3),
}


def resampled(
    picture: Image.Image,
    size: Size,
    box: Region | None = None,
    resample: Image.Resampling = Image.Resampling.LANCZOS,
) -> Image.Image:
    """Return a box of a picture at another size, smaller or larger.

    picture: mode L, RGB, RGBA (premultiplied on the way), CMYK or YCbCr, all of which keep
    theirs; size: (width, height) in px; box: of the picture, all of it where it is None; resample:
    BOX, BILINEAR or LANCZOS.
    """
    left, top, right, bottom = box or (0, 0, *picture.size)
    options = ResizeOptions(
        resize_alg=_FILTERS[resample],
        use_alpha=picture.mode == "RGBA",
        crop_box=CropBox(left, top, right - left, bottom - top),
    )
    small = Image.new(picture.mode, size, None)  # without zeros: each pixel is written below
    # Not Resizer.resize_pil, which refuses YCbCr; a new one each time keeps no buffer.
    RustResizer().resize_pil(PilImageWrapper(picture), PilImageWrapper(small), options.rust_options)
    return small
