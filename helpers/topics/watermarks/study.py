"""The study of lesson 11: captions and images as crawled, cleaned, clean, in search and training.

What becomes of the captions is handed in: they belong to another topic.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from helpers.data.sets import RetrievalSet
from helpers.evaluation.ranking import DIRECTIONS
from helpers.experiment import Experiment, hit10, ranks_of
from helpers.grid import Result
from helpers.models.placement import Placement
from helpers.report.plots import points_with_intervals
from helpers.study import Design, Study
from helpers.topics.watermarks.detect import FittedDetector, mask_scores
from helpers.topics.watermarks.inpaint import OpenCVInpainter, psnr
from helpers.topics.watermarks.marks import sample, stored
from helpers.topics.watermarks.subsets import CLEAN, REPAIRED, TRUE_MASKS, WATERMARKED, repairs
from helpers.training.loop import Settings
from helpers.training.runs import train_lora

TEST, TRAINING, VALIDATION = "kitchen", "training", "validation"
CLEANED = "cleaned"
AUTHORS = {"0": "first", "1": "second"}
CODE = (
    *(f"helpers.topics.watermarks.{n}" for n in ("detect", "inpaint", "marks", "study", "subsets")),
    "helpers.training.runs",
)


Forms = tuple[dict[str, list[Image.Image]], pd.DataFrame]  # images by form, what is known of each


@dataclass(frozen=True)
class CleaningExperiment(Experiment):
    """The sets of a design with their captions and images in several forms.

    ``texts`` makes of a source and numbers of recipes a row for each caption, in order of the
    recipes: ``recipe_id``, ``crawled``, ``cleaned``, ``clean``, and what is known of each.
    """

    texts: Callable[[str, Sequence[int]], pd.DataFrame] | None = None

    @cached_property
    def captions(self) -> dict[str, pd.DataFrame]:
        """By set a row for each caption: ``crawled``, ``cleaned``, ``clean`` and what is known."""
        found = {}
        for name, data in self.sets.items():
            numbers = [int(item.rpartition("-")[2]) for item in data.items]
            found[name] = self.texts(self.design.data[name]["source"], numbers)
        return found

    @cached_property
    def detector(self) -> FittedDetector:
        """Fitted on training images as they are, one of each recipe."""
        n = self.design.settings["detector"]["recipes"]
        firsts = pd.Series(self.sets[TRAINING].image_items).drop_duplicates().index[:n]
        images = [self.sets[TRAINING].images[i] for i in firsts]
        return FittedDetector(lambda: images, f"training, {n} recipes")

    @cached_property
    def images(self) -> dict[str, Forms]:
        """The images of training and test in all forms."""
        return {name: self._marked(self.sets[name], name) for name in (TRAINING, TEST)}

    def _marked(self, data: RetrievalSet, name: str) -> Forms:
        opacity, inpainter = self.design.settings["watermarks"]["opacity"], OpenCVInpainter()
        forms, rows = {form: [] for form in (CLEAN, WATERMARKED, REPAIRED, TRUE_MASKS)}, []
        for number, (image, item) in enumerate(zip(data.images, data.image_items, strict=True)):
            watermark = sample([name, item, number], opacity=opacity)
            made, mask, truth = repairs(image, watermark, self.detector, inpainter)
            made |= {form: stored(made[form]) for form in (REPAIRED, TRUE_MASKS)}
            quality = {f"psnr, {form}": psnr(made[form], made[CLEAN], truth)
                       for form in (WATERMARKED, REPAIRED, TRUE_MASKS)}  # fmt: skip
            known = {"item": item, "opacity": watermark.opacity, **mask_scores(mask, truth)}
            rows.append(known | quality)
            for form, done in made.items():
                forms[form].append(done)
        return forms, pd.DataFrame(rows)

    def data(self, name: str, captions: str = CLEAN, images: str = CLEAN) -> RetrievalSet:
        """A set with its captions and images in one form each; the queries stay the same."""
        texts, data = self.captions[name], self.sets[name]
        as_is = name == VALIDATION
        shown = list(map(stored, data.images)) if as_is else self.images[name][0][images]
        items = texts["recipe_id"].to_numpy(dtype=str)
        return replace(data, images=shown, captions=texts[captions].tolist(), caption_items=items)

    @cached_property
    def validation(self) -> RetrievalSet:
        """Clean captions and images, by which everything is chosen."""
        return self.data(VALIDATION)

    def score(self, encoder: Any) -> float:
        """hit@10 on validation."""
        return hit10(ranks_of(encoder, self.validation))

    def train(
        self, *, seed: int, captions: str = CLEAN, images: str = CLEAN, steps: int = 0,
        rate: float = 0.0,
    ) -> Result:  # fmt: skip
        """Train on one form of captions and images, and rank the clean test.

        Without steps the base is asked: the test itself then has that form.
        """
        if not steps:
            ranks, frames = ranks_of(self.base, self.data(TEST, captions, images)), {}
            if (captions, images) == (CLEAN, CLEAN):
                scores = {"step": [0], "score": [self.score(self.base)]}
                frames["evaluations"] = pd.DataFrame(scores)
            if captions == CLEANED:
                frames["captions"] = self.captions[TEST].drop(columns=[CLEAN, CLEANED, "crawled"])
            if images == REPAIRED:
                frames["masks"] = self.images[TEST][1]
            return Result(ranks.assign(test=TEST), {}, frames)
        settings = self.design.settings
        trained = train_lora(
            self.base, self.data(TRAINING, captions, images),
            placement=Placement(**settings["placement"]),
            settings=Settings(
                steps=steps, batch_size=settings["batch_size"], draw="image", keep="last",
                learning_rate=rate, seed=seed,
                evaluations=tuple(round(steps * share) for share in settings["looks"]),
            ),
            validation=self.score, progress=False,
        )  # fmt: skip
        scores = trained.evaluations[["step", "score"]]
        info = {k: trained.info[k] for k in ("seconds", "trainable_parameters")}
        info["validation"] = float(scores["score"].iloc[-1])
        frames = {"evaluations": scores, "losses": trained.losses[["step", "loss"]]}
        return Result(ranks_of(trained.encoder, self.data(TEST)).assign(test=TEST), info, frames)


def run_study(design: Design, folder: Path, *, texts: Any, device: str = "cpu") -> Study:
    """Measure what the design asks; finished runs in ``folder`` are not trained again."""
    experiment = CleaningExperiment(design, device, texts)
    return experiment.run(folder, experiment.identity(*CODE, texts=texts.fingerprint))


def searched(encoder: Any, sets: Mapping[str, RetrievalSet]) -> Study:
    """The ranks of one model on sets that differ in the form of their captions or images alone."""
    found = {name: ranks_of(encoder, data) for name, data in sets.items()}
    return Study.of(found, test=next(iter(sets.values())).name)


def search_figure(found: Study, heading: str) -> Figure:
    """hit@10 of each arm in both directions, with chance."""
    (test,) = found.tests
    chance = {d: found.chance("hit@10", test=test, direction=d) for d in DIRECTIONS}
    table = found.table(found.arms, test=test)
    return points_with_intervals(table, heading=heading, chance=chance)


def search_records(found: Study, model: str) -> list[dict[str, Any]]:
    """hit@10 of each arm in both directions, as records of a lesson's results."""
    table = found.table(found.arms, test=found.tests[0]).assign(split="test")
    table["model"] = model + ", " + table.pop("arm")
    return table.to_dict("records")


def outcomes_sentence(study: Study) -> str:
    """What became of the test captions of each writer, and of the masks: from the frames."""
    rows, masks = study.frames["captions"], study.frames["masks"]
    shares = rows.groupby("writer")["outcome"].value_counts(normalize=True)
    parts = [
        f"{AUTHORS[writer]} author: "
        + ", ".join(f"{share:.0%} {what}" for (_, what), share in part.items())
        for writer, part in shares.groupby(level=0)
    ]
    gain = masks[[f"psnr, {form}" for form in (WATERMARKED, REPAIRED, TRUE_MASKS)]]
    left, found, exact = gain.replace(np.inf, 100.0).mean()
    return (
        f"Captions, {'; '.join(parts)}. Mean IoU of the masks {masks['iou'].mean():.2f}; PSNR "
        f"inside them {left:.1f} dB watermarked, {found:.1f} repaired, {exact:.1f} by true masks."
    )
