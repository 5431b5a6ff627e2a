"""Florence-2 as a watermark detector: what its tasks point at becomes proposals, and these masks.

Xiao et al., "Florence-2: advancing a unified representation for a variety of vision tasks" (2023).
Each task is a prompt; the answer is text in which places are tokens, a thousandth of the side each.
Two tasks look for marks: reading with regions finds what is written, and detection by name finds
"watermark". Neither knows a watermark from a label on a jar: proposals that are too large to be a
mark are left out, the rest is believed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from helpers.models.checkpoints import check_files, find_checkpoint, opened
from helpers.models.encoder import weights_fingerprint
from helpers.repro import hash_of

OCR, DETECTION = "<OCR_WITH_REGION>", "<OPEN_VOCABULARY_DETECTION>"
SEGMENTATION, REGIONS = "<REFERRING_EXPRESSION_SEGMENTATION>", "<REGION_PROPOSAL>"
NAMED = (DETECTION, SEGMENTATION)  # these take what to look for
TASKS = (OCR, *NAMED, REGIONS)
MASKS = ("strokes", "region")
Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Proposal:
    """A place that a task pointed at: a polygon in pixels, and the words that came with it."""

    polygon: Polygon
    label: str
    task: str

    def share_of(self, size: tuple[int, int]) -> float:
        """Its area as a share of an image of ``size`` (width, height)."""
        x, y = np.array(self.polygon).T
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        return float(area / (size[0] * size[1]))


@dataclass(frozen=True)
class FlorenceDetector:
    """A :class:`~helpers.topics.watermarks.detect.Detector` on a Florence-2 model.

    Attributes
    ----------
    model : Florence2ForConditionalGeneration
    processor : Florence2Processor
    name : str
        Hub id, or the last part of a directory's path.
    tasks : tuple of str
        Of ``TASKS``; their proposals are put together.
    phrase : str
        What detection and segmentation look for.
    largest : float
        Proposals above this share of the image are no marks: asked for what is not there, the model
        tends to answer with the whole image.
    masks : {"strokes", "region"}
        Only the strokes inside a proposal, or all of it.
    """

    model: Florence2ForConditionalGeneration
    processor: Florence2Processor
    name: str
    tasks: tuple[str, ...] = (OCR, DETECTION)
    phrase: str = "watermark"
    largest: float = 0.5
    masks: str = "strokes"
    max_new_tokens: int = 512

    def __post_init__(self) -> None:
        if unknown := [task for task in self.tasks if task not in TASKS] or not self.tasks:
            raise ValueError(f"unknown Florence-2 tasks {unknown}; use some of {', '.join(TASKS)}")
        if self.masks not in MASKS:
            raise ValueError(f"unknown masks {self.masks!r}; use one of {', '.join(MASKS)}")
        if not 0 < self.largest <= 1:
            raise ValueError(f"largest proposal is {self.largest}; use a share in (0, 1]")

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights and all settings."""
        settings = (self.tasks, self.phrase, self.largest, self.masks, self.max_new_tokens)
        return hash_of(["florence-2", weights_fingerprint(self.model), *settings])

    def find(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """One (h, w) bool mask an image."""
        return [self._mask(image.convert("RGB")) for image in images]

    def proposals(self, image: Image.Image) -> list[Proposal]:
        """All that the tasks point at, whatever its size."""
        found = []
        for task in self.tasks:
            answer = self.answer(image, task)
            found += proposals_of(self.processor, answer, task, image.size)
        return found

    def answer(self, image: Image.Image, task: str) -> str:
        """The text that the model writes for a task, with its place tokens."""
        prompt = task + self.phrase if task in NAMED else task
        inputs = self.processor(text=prompt, images=image, return_tensors="pt")
        inputs = inputs.to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            ids = self.model.generate(
                **inputs, max_new_tokens=self.max_new_tokens, num_beams=3, do_sample=False
            )
        return self.processor.batch_decode(ids, skip_special_tokens=False)[0]

    def _mask(self, image: Image.Image) -> np.ndarray:
        kept = [p for p in self.proposals(image) if p.share_of(image.size) <= self.largest]
        regions = [filled(p.polygon, image.size) for p in kept]
        if self.masks == "strokes":
            regions = [strokes_inside(image, region) for region in regions]
        none = np.zeros((image.height, image.width), bool)
        return np.logical_or.reduce([none, *regions])


def load_florence(model: str, *, device: str = "cpu", **settings: Any) -> FlorenceDetector:
    """A detector from a directory or a hub id, such as ``florence-community/Florence-2-base``.

    ``settings`` are the detector's ``tasks``, ``phrase``, ``largest``, ``masks``,
    ``max_new_tokens``. Raises ``ModelError`` if the model is not found or not whole.
    """
    checkpoint = find_checkpoint(model, tiny=("fitted",))
    weights = check_files(checkpoint)
    loaded = opened(
        Florence2ForConditionalGeneration, checkpoint, what=weights, use_safetensors=True
    )
    processor = opened(Florence2Processor, checkpoint, what="tokenizer or preprocessor")
    return FlorenceDetector(loaded.eval().to(device), processor, checkpoint.name, **settings)


def proposals_of(
    processor: Florence2Processor, answer: str, task: str, size: tuple[int, int]
) -> list[Proposal]:
    """The places in a model's answer, whichever form the task gives them.

    ``answer`` has its special tokens, ``size`` is (width, height). Polygons of fewer than three
    corners are no places, and are left out.
    """
    said = processor.post_process_generation(text=answer, task=task, image_size=size)[task]
    found = [(_box(b), label) for b, label in _labeled(said, "bboxes", "bboxes_labels")]
    found += [(_corners(q), label) for q, label in _labeled(said, "quad_boxes", "labels")]
    for polygons, label in _labeled(said, "polygons", "polygons_labels"):
        found += [(_corners(polygon), label) for polygon in polygons]
    return [Proposal(polygon, label, task) for polygon, label in found if len(polygon) > 2]


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
    rows = np.flatnonzero(region.any(axis=1))
    height = int(rows[-1] - rows[0] + 1)
    side = min(2 * max(3, height // 2) + 1, 255)
    away = np.abs(pixels.astype(np.int16) - cv2.medianBlur(pixels, side)).max(axis=2)
    values = away[region].astype(np.uint8)
    threshold, _ = cv2.threshold(values, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return region & (away > threshold)


def _labeled(said: dict[str, Any], key: str, labels: str) -> list[tuple[Any, str]]:
    """Places with their labels, which some tasks keep under ``labels``; none: no places."""
    places = said.get(key, [])
    return list(zip(places, said.get(labels, said.get("labels")), strict=True)) if places else []


def _box(box: Sequence[float]) -> Polygon:
    left, top, right, bottom = box
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _corners(flat: Sequence[float]) -> Polygon:
    return tuple(zip(flat[::2], flat[1::2], strict=True))
