"""The watermark detector that a parameter names, for the pictures of some pairs."""

from PIL import Image

from helpers.data.pairs import Pairs
from helpers.first.data.marked_sets import kitchen_backgrounds
from helpers.first.prepare.watermarks import RepeatedMarkDetector, StrokeDetector, WatermarkDetector

DETECTORS = ("fitted", "repeated", "strokes")
MOST_PICTURES = 200  # to fit on: one a recipe


def open_detector(
    name: str, pairs: Pairs | None, *, device: str = "cpu", precision: str = "fp32", seed: int = 42
) -> WatermarkDetector:
    """A detector by name.

    Parameters
    ----------
    name : str
        ``fitted``: fitted when first used, on training pictures of the pairs, which are taken to be
        without marks, or, without pairs, on pictures of the drawn kitchen; ``repeated``, for sources that sign their pictures in one place; ``strokes``,
        the simple baseline; anything else is a Florence-2 by its hub id or directory.
    device, precision
        Of Florence-2.

    Examples
    --------
    >>> open_detector("strokes", pairs).name  # doctest: +SKIP
    'strokes'
    """
    if name == "strokes":
        return StrokeDetector()
    if name == "repeated":
        return RepeatedMarkDetector()
    if name == "fitted":
        from helpers.first.prepare.fitted_marks import FittedDetector

        if pairs is None:
            return kitchen_detector(seed=seed)
        source = pairs.manifest.fingerprint
        return FittedDetector(lambda: training_pictures(pairs), source, seed=seed)
    from helpers.first.prepare.florence import load_florence

    return load_florence(name, device=device, precision=precision)


def kitchen_detector(px: int = 64, *, n: int = 80, seed: int = 42) -> WatermarkDetector:
    """A detector fitted on the develop half's pictures of the drawn kitchen."""
    from helpers.first.prepare.fitted_marks import FittedDetector

    def pictures() -> list[Image.Image]:
        return [picture for _, picture in kitchen_backgrounds("develop", n, px=px)]

    return FittedDetector(pictures, f"kitchen, develop, {n} of {px} px", seed=seed)


def training_pictures(pairs: Pairs, *, most: int = MOST_PICTURES) -> list[Image.Image]:
    """The first picture of each of the first ``most`` training recipes."""
    rows = pairs.train.drop_duplicates("recipe_id")
    return [pairs.image(key) for key in rows["image_key"].iloc[:most]]
