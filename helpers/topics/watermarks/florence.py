"""Florence-2 as a watermark detector: what its tasks point at becomes proposals, and these masks.

Xiao et al., "Florence-2: advancing a unified representation for a variety of vision tasks" (2023).
Each task is a prompt; the answer is text in which places are tokens, a thousandth of the side each.
Two tasks look for watermarks: reading with regions finds what is written, and detection by name
finds "watermark". Neither tells a watermark from a label on a jar: proposals that are too large to
be one are left out, the rest is believed. Of each, the strokes inside are the mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from helpers.models.checkpoints import check_files, find_checkpoint, opened
from helpers.models.encoder import weights_fingerprint
from helpers.repro import hash_of

OCR, DETECTION = "<OCR_WITH_REGION>", "<OPEN_VOCABULARY_DETECTION>"
PROMPTS = {OCR: OCR, DETECTION: f"{DETECTION}watermark"}
LARGEST = 0.5  # of the image: asked for what is not there, the model tends to answer with all of it
Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FlorenceDetector:
    """A :class:`~helpers.topics.watermarks.detect.Detector` on a Florence-2 model."""

    model: Florence2ForConditionalGeneration
    processor: Florence2Processor
    name: str
    max_new_tokens: int = 512

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights and all settings."""
        settings = (PROMPTS, LARGEST, self.max_new_tokens)
        return hash_of(["florence-2", weights_fingerprint(self.model), *settings])

    def find(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """One (h, w) bool mask an image."""
        return [self._mask(image.convert("RGB")) for image in images]

    def answer(self, image: Image.Image, task: str) -> str:
        """The text that the model writes for a task, with its place tokens."""
        inputs = self.processor(text=PROMPTS[task], images=image, return_tensors="pt")
        inputs = inputs.to(self.model.device, self.model.dtype)
        options = {"max_new_tokens": self.max_new_tokens, "num_beams": 3, "do_sample": False}
        with torch.inference_mode():
            ids = self.model.generate(**inputs, **options)
        return self.processor.batch_decode(ids, skip_special_tokens=False)[0]

    def _mask(self, image: Image.Image) -> np.ndarray:
        mask = np.zeros((image.height, image.width), bool)
        for task in PROMPTS:
            for polygon in polygons_of(self.processor, self.answer(image, task), task, image.size):
                if share_of(polygon, image.size) <= LARGEST:
                    mask |= strokes_inside(image, filled(polygon, image.size))
        return mask


def load_florence(model: str, *, device: str = "cpu") -> FlorenceDetector:
    """A detector from a directory or a hub id, such as ``florence-community/Florence-2-base``.

    Raises ``ModelError`` if the model is not found or not whole.
    """
    checkpoint = find_checkpoint(model, tiny=("fitted",))
    weights = check_files(checkpoint)
    network = Florence2ForConditionalGeneration
    loaded = opened(network, checkpoint, what=weights, use_safetensors=True)
    processor = opened(Florence2Processor, checkpoint, what="tokenizer or preprocessor")
    return FlorenceDetector(loaded.eval().to(device), processor, checkpoint.name)


def polygons_of(
    processor: Florence2Processor, answer: str, task: str, size: tuple[int, int]
) -> list[Polygon]:
    """The places in a model's answer in pixels: boxes, quadrangles or polygons, as the task has it.

    ``answer`` has its special tokens, ``size`` is (width, height). Polygons of fewer than three
    corners are no places, and are left out.
    """
    said = processor.post_process_generation(text=answer, task=task, image_size=size)[task]
    flat = [(x, y, x2, y, x2, y2, x, y2) for x, y, x2, y2 in said.get("bboxes", [])]
    flat += said.get("quad_boxes", [])
    flat += [polygon for polygons in said.get("polygons", []) for polygon in polygons]
    return [tuple(zip(f[::2], f[1::2], strict=True)) for f in flat if len(f) > 4]


def share_of(polygon: Polygon, size: tuple[int, int]) -> float:
    """The area of a polygon as a share of an image of ``size`` (width, height).

    >>> share_of(((0, 0), (5, 0), (5, 5), (0, 5)), (10, 10))
    0.25
    """
    x, y = np.array(polygon).T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2 / (size[0] * size[1]))


def filled(polygon: Polygon, size: tuple[int, int]) -> np.ndarray:
    """The pixels of a polygon in an image of ``size`` (width, height): (h, w) bool.

    >>> int(filled(((0, 0), (1, 0), (1, 1), (0, 1)), (4, 3)).sum())
    4
    """
    canvas = Image.new("1", size)
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in polygon], fill=1, outline=1)
    return np.array(canvas)


def strokes_inside(image: Image.Image, region: np.ndarray) -> np.ndarray:
    """The pixels of a region that differ from its background most, (h, w) bool.

    The background is the median around each pixel; Otsu's threshold (1979) parts the differences.
    ``region`` is (h, w) bool.
    """
    if not region.any():
        return region.copy()
    pixels = np.asarray(image.convert("RGB"))
    height = int(np.ptp(np.flatnonzero(region.any(axis=1)))) + 1
    side = min(2 * max(3, height // 2) + 1, 255)
    away = np.abs(pixels.astype(np.int16) - cv2.medianBlur(pixels, side)).max(axis=2)
    values = away[region].astype(np.uint8)
    threshold, _ = cv2.threshold(values, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return region & (away > threshold)
