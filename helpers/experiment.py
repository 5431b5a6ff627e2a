"""What the studies of the lessons share: the data and base models of a design, loaded once.

A lesson's own experiment adds ``train``: one arm with one seed, what
:func:`helpers.grid.run_grid` calls.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from helpers.data.sets import RetrievalSet, drawn_sets
from helpers.evaluation.metrics import summary
from helpers.evaluation.ranking import rank_both_directions
from helpers.grid import run_grid
from helpers.models.encoder import Encoder, load_encoder
from helpers.models.lora import scaled
from helpers.repro import hash_of, library_versions
from helpers.store.artefacts import code_of
from helpers.study import Design, Study
from helpers.training.batches import TrainingPairs, plain_towers, prepare_pairs

CODE = (
    "helpers.models.lora", "helpers.training.loop", "helpers.training.losses",
    "helpers.training.batches", "helpers.evaluation.ranking", "helpers.data.sets",
)  # fmt: skip


def ranks_of(encoder: Any, data: RetrievalSet) -> pd.DataFrame:
    """Embed a set with anything that has ``images`` and ``texts``; rank it in both directions."""
    return rank_both_directions(encoder.images(data.images), encoder.texts(data.captions), data)


def hit10(ranks: pd.DataFrame) -> float:
    """hit@10, mean of both directions: the score by which everything is chosen on validation."""
    parts = ranks.groupby("direction")["rank"]
    return float(np.mean([summary(part, "hit@10") for _, part in parts]))


@dataclass(frozen=True)
class PreparedSet:
    """A set whose images and captions are prepared once, to be trained on or ranked many times."""

    data: RetrievalSet
    pairs: TrainingPairs

    @classmethod
    def of(cls, encoder: Encoder, data: RetrievalSet) -> "PreparedSet":
        """Prepared for an encoder, and for all that are adapted from it."""
        return cls(data, prepare_pairs(encoder, data, progress=False))

    def embed(self, model: Any, *, batch_size: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of images (n, d) and captions (m, d), float32 unit rows.

        ``model`` is an encoder, or has ``towers(pairs)``, as
        :class:`helpers.training.prefix.Prefixes`.
        """
        whole = isinstance(model, Encoder)
        towers = plain_towers(model, self.pairs) if whole else model.towers(self.pairs)
        image_ids, text_ids = (
            torch.arange(len(one)).split(batch_size)
            for one in (self.pairs.pixels, self.pairs.captions)
        )
        with torch.inference_mode():
            images = [towers.encode_images(towers.gather_images(i, None)) for i in image_ids]
            texts = [towers.encode_texts(towers.gather_texts(i)) for i in text_ids]
        of_caption = pd.Index(self.pairs.captions).get_indexer(list(self.data.captions))
        return torch.cat(images).cpu().numpy(), torch.cat(texts).cpu().numpy()[of_caption]

    def ranks(self, model: Any) -> pd.DataFrame:
        """Ranks in both directions."""
        return rank_both_directions(*self.embed(model), self.data)

    def hit10(self, model: Any) -> float:
        """hit@10, mean of both directions."""
        return hit10(self.ranks(model))


@dataclass(frozen=True)
class Experiment:
    """The data and base models of a design."""

    design: Design
    device: str = "cpu"

    @cached_property
    def sets(self) -> dict[str, RetrievalSet]:
        """The sets of the design by name, their images drawn once."""
        drawn = drawn_sets(self.design.data)
        return {name: replace(one, images=list(one.images)) for name, one in drawn.items()}

    @cached_property
    def bases(self) -> dict[str, Encoder]:
        """The base models of the design by name."""
        return {name: load_encoder(name, device=self.device) for name in self.design.base}

    @property
    def base(self) -> Encoder:
        """The first base model."""
        return next(iter(self.bases.values()))

    @cached_property
    def _prepared(self) -> dict[tuple[str, str], PreparedSet]:
        return {}

    def prepared(self, base: str, name: str) -> PreparedSet:
        """A set of the design, prepared once for a base model."""
        if (base, name) not in self._prepared:
            self._prepared[base, name] = PreparedSet.of(self.bases[base], self.sets[name])
        return self._prepared[base, name]

    def along_path(
        self, base: str, encoder: Encoder, factors: Sequence[float], *, tests: Sequence[str],
        model: Any = None,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
        """Ranks of the tests, and scores on validation, at points of the path from the base.

        Parameters
        ----------
        base : str
        encoder : Encoder
            Adapted from the base, or the base itself with the factor 1.
        factors : sequence of float
            The change of the weights is multiplied by each (:func:`helpers.models.lora.scaled`). At
            0 nothing is ranked: the base is an arm of its own.
        tests : sequence of str
            Sets of the design; each has another one named ``validation, `` and its name.
        model : optional
            What embeds, such as the encoder's cached prefixes.

        Returns
        -------
        DataFrame, DataFrame
            Ranks with ``test`` and ``factor``; ``test``, ``factor`` and ``score`` (hit@10), empty
            for a single factor.
        """
        model, ranks, path = encoder if model is None else model, [], []
        for factor in map(float, factors):
            with scaled(encoder, factor) if tuple(factors) != (1.0,) else nullcontext():
                for test in tests:
                    if factor:
                        found = self.prepared(base, test).ranks(model)
                        ranks.append(found.assign(test=test, factor=factor))
                    if len(factors) > 1:
                        score = self.prepared(base, f"validation, {test}").hit10(model)
                        path.append({"test": test, "factor": factor, "score": score})
        return pd.concat(ranks), pd.DataFrame(path)

    def identity(self, *modules: str, settings: Mapping[str, Any] | None = None, **more) -> str:
        """What results depend on beside the factors of an arm, as a hash.

        Parameters
        ----------
        *modules : str
            Modules whose code decides, beside those of ``CODE``.
        settings : mapping, optional
            Those of the design's settings that decide; by default all.
        **more
            Anything else: the settings of a training, the content of a file.
        """
        settings = self.design.settings if settings is None else settings
        return hash_of({
            "design": [self.design.version, self.design.data, settings],
            "bases": {name: one.fingerprint for name, one in self.bases.items()},
            "code": code_of(*CODE, *modules),
            "libraries": library_versions(),
            **more,
        })  # fmt: skip

    def run(
        self, folder: Path, identity: str, arms: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Study:
        """Train the arms (by default the design's); finished runs are not trained again."""
        return run_grid(
            self.train, self.design.arms if arms is None else arms, seeds=self.design.seeds_of,
            folder=folder, identity=identity,
        )  # fmt: skip


def with_points(study: Study, points: Mapping[str, Mapping[str, Any]]) -> Study:
    """The study with an arm for each point of a path: ``of`` which arm, and at which ``factor``."""
    ranks, runs = [study.ranks[study.ranks["factor"] == 1]], [study.runs]
    for name, point in points.items():
        of = study.ranks["arm"] == point["of"]
        ranks.append(study.ranks[of & (study.ranks["factor"] == point["factor"])].assign(arm=name))
        runs.append(study.runs[study.runs["arm"] == point["of"]].assign(arm=name))
    joined = pd.concat(ranks, ignore_index=True).drop(columns="factor")
    return Study(joined, pd.concat(runs, ignore_index=True), study.frames)
