"""Two ways to picture one scene, and everything between them.

``photo`` shakes, crops, lights unevenly, adds noise and compresses; ``diffusion`` is centered,
clean, bright and saturated. It is *called* diffusion because lessons use it where the literature
uses the output of a diffusion model; it is no diffusion model. One number, ``style_gap``, moves
the second continuously towards the first: 1 leaves it as it is, 0 makes it a photo.
"""

import io
import math
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image, ImageFilter

STYLES = ("photo", "diffusion")
CANVAS = 1.4  # side of the canvas over the side of the picture: room to turn and shift


@dataclass(frozen=True)
class Style:
    """The parameters of a picture; all of them can be mixed linearly.

    Lengths are fractions of the picture's side, angles degrees, colors 0 to 255.
    """

    color_jitter: float
    clutter: float
    texture_variety: float
    texture_blur: float
    turn: float
    shift: float
    zoom_low: float
    zoom_high: float
    light: float
    light_slope: float
    cast: float
    contrast_low: float
    contrast_high: float
    saturation_low: float
    saturation_high: float
    lift: float
    noise_low: float
    noise_high: float
    soften: float
    quality_low: float
    quality_high: float


PHOTO = Style(
    color_jitter=9,
    clutter=0.55,
    texture_variety=1,
    texture_blur=0,
    turn=7,
    shift=0.045,
    zoom_low=0.92,
    zoom_high=1.25,
    light=0.13,
    light_slope=0.2,
    cast=0.06,
    contrast_low=0.65,
    contrast_high=1.0,
    saturation_low=0.6,
    saturation_high=1.0,
    lift=0,
    noise_low=3,
    noise_high=13,
    soften=0,
    quality_low=38,
    quality_high=82,
)
DIFFUSION = Style(
    color_jitter=2,
    clutter=0,
    texture_variety=0,
    texture_blur=1,
    turn=0,
    shift=0,
    zoom_low=1.06,
    zoom_high=1.06,
    light=0,
    light_slope=0,
    cast=0,
    contrast_low=1.06,
    contrast_high=1.06,
    saturation_low=1.35,
    saturation_high=1.35,
    lift=4,
    noise_low=0,
    noise_high=0,
    soften=0.35,
    quality_low=96,
    quality_high=96,
)


def style_of(name: str, *, style_gap: float = 1.0) -> Style:
    """The style called ``name``; ``style_gap`` is how far diffusion stays away from photo.

    Raises
    ------
    ValueError
        If the name is unknown or the gap is outside [0, 1].

    Examples
    --------
    >>> style_of("diffusion", style_gap=0.0) == style_of("photo")
    True
    """
    if name not in STYLES:
        raise ValueError(f"unknown style {name!r}: use one of {', '.join(STYLES)}")
    if not 0 <= style_gap <= 1:
        raise ValueError(f"style_gap is {style_gap}; it is a share of the way, from 0 to 1")
    share = style_gap if name == "diffusion" else 0.0
    mixed = {
        field.name: (1 - share) * getattr(PHOTO, field.name)
        + share * getattr(DIFFUSION, field.name)
        for field in fields(Style)
    }
    return Style(**mixed)


@dataclass(frozen=True)
class Camera:
    """Where the picture is taken from: an affine map from picture pixels to canvas pixels."""

    matrix: tuple[float, float, float, float, float, float]

    def take(self, canvas: Image.Image, px: int) -> Image.Image:
        """The ``px`` x ``px`` picture of a canvas (RGB or L)."""
        return canvas.transform(
            (px, px), Image.Transform.AFFINE, self.matrix, Image.Resampling.BILINEAR
        )


def aim(rng: np.random.Generator, style: Style, *, canvas_px: int, px: int) -> Camera:
    """A camera with this style's turn, zoom and shift."""
    turn = math.radians(float(np.clip(rng.standard_normal(), -1.7, 1.7)) * style.turn)
    zoom = style.zoom_low + (style.zoom_high - style.zoom_low) * rng.random()
    shift = np.clip(rng.standard_normal(2), -1.7, 1.7) * style.shift
    step = canvas_px / CANVAS / px / zoom  # canvas pixels per picture pixel
    a, b = step * math.cos(turn), -step * math.sin(turn)
    d, e = step * math.sin(turn), step * math.cos(turn)
    middle = canvas_px / 2
    x0 = middle + float(shift[0]) * canvas_px / CANVAS - (a + b) * px / 2
    y0 = middle + float(shift[1]) * canvas_px / CANVAS - (d + e) * px / 2
    return Camera((a, b, x0, d, e, y0))


def develop(picture: Image.Image, rng: np.random.Generator, style: Style) -> Image.Image:
    """Light, contrast, color, noise, softness and compression of ``style`` on an RGB picture."""
    px = picture.width
    light, slope_x, slope_y = rng.standard_normal(3) * (
        style.light,
        style.light_slope,
        style.light_slope,
    )
    cast = 1 + rng.standard_normal(3).astype(np.float32) * style.cast
    u = rng.random(4)
    contrast = style.contrast_low + (style.contrast_high - style.contrast_low) * u[0]
    saturation = style.saturation_low + (style.saturation_high - style.saturation_low) * u[1]
    noise = style.noise_low + (style.noise_high - style.noise_low) * u[2]
    quality = style.quality_low + (style.quality_high - style.quality_low) * u[3]

    x = np.asarray(picture, np.float32)  # (px, px, 3)
    ramp = np.linspace(-1, 1, px, dtype=np.float32)
    x = x * (1 + light + slope_x * ramp[None, :] + slope_y * ramp[:, None])[..., None] * cast
    mean = x.mean()
    x = (x - mean) * np.float32(contrast) + mean
    gray = x.mean(axis=2, keepdims=True)
    x = gray + (x - gray) * np.float32(saturation) + np.float32(style.lift)
    x += rng.standard_normal(x.shape, dtype=np.float32) * np.float32(noise)
    done = Image.fromarray(np.clip(x, 0, 255).astype(np.uint8))
    if style.soften > 0:
        done = done.filter(ImageFilter.GaussianBlur(style.soften * px / 64))
    return _compressed(done, round(quality))


def _compressed(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    again = Image.open(buffer)
    again.load()
    return again
