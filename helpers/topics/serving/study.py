"""The study of lesson 10: what codes, fewer numbers and an int8 tower cost in hit@10."""

from functools import cached_property
from pathlib import Path

import numpy as np

from helpers.data.sets import RetrievalSet, drawn_sets
from helpers.evaluation.ranking import rank_both_directions
from helpers.experiment import Experiment
from helpers.grid import Result
from helpers.study import Design, Study
from helpers.topics.serving import codes, matryoshka, onnx
from helpers.topics.serving.matryoshka import Embedded

TEST = "kitchen"


class Serving(Experiment):
    """Ranks the test by each code, and trains maps whose first numbers are kept."""

    @cached_property
    def sets(self) -> dict[str, RetrievalSet]:
        """The sets of the design; their images are drawn while they are embedded, not held."""
        return drawn_sets(self.design.data)

    @cached_property
    def embedded(self) -> dict[str, Embedded]:
        """The embeddings of the sets, computed once."""
        return {name: Embedded.by(self.base, one) for name, one in self.sets.items()}

    @cached_property
    def known(self) -> codes.Codes:
        """What codes learn from the training embeddings."""
        known = self.embedded["training"]
        kept = self.design.settings["kept"]
        return codes.Codes.fit(known.images, known.texts, dimensions=kept)

    def score(self, code: str) -> codes.Score | None:
        """The score of a code by its name; None for the embeddings as they are."""
        return {
            "float32": None,
            "centered": self.known.centered_cosine,
            "int8": self.known.int8,
            "binary at zero": codes.binary_at_zero,
            "binary": self.known.binary,
            "RaBitQ": codes.rabitq,
            "first": codes.first(self.design.settings["kept"]),
            "PCA": self.known.pca,
        }[code]

    def train(
        self, *, seed: int, code: str = "float32", rescored: int = 0, tower: str = "torch",
        dims: tuple[int, ...] = (), kept: int = 0,
    ) -> Result:  # fmt: skip
        """Rank the test by one arm; with ``dims`` maps are trained for these lengths first."""
        if dims:
            return self.trained(seed, dims, kept)
        test = self.embedded[TEST]
        images, info = test.images, {}
        if tower != "torch":
            images, info = self.exported()
        score = self.score(code)
        if rescored:
            score = codes.rescored(score, rescored)
        ranks = rank_both_directions(images, test.texts, test.data, score)
        return Result(ranks.assign(test=TEST), info)

    def exported(self) -> tuple[np.ndarray, dict[str, float]]:
        """The test images by the vision tower in int8, and how near they are to the original."""
        test = self.embedded[TEST]
        graph = onnx.vision_graph(self.base)
        small = onnx.quantized(graph)
        running, parts = onnx.session(small, threads=1), []
        for start in range(0, len(test.images), 512):  # drawn again, a part at a time
            part = list(test.data.images[start : start + 512])
            parts.append(onnx.embed(running, self.base, part))
        images = np.concatenate(parts)
        cosine = np.einsum("ij,ij->i", images, test.images)
        return images, {
            "bytes fp32": len(graph), "bytes int8": len(small),
            "lowest cosine": float(cosine.min()), "mean cosine": float(cosine.mean()),
        }  # fmt: skip

    def trained(self, seed: int, dims: tuple[int, ...], kept: int) -> Result:
        """Train maps for some lengths with one seed and rank the test by the first numbers."""
        settings = self.design.settings
        validation = self.embedded["validation"]
        maps, fitted = matryoshka.train(
            self.embedded["training"], validation, dims=tuple(dims), shown=kept, seed=seed,
            logit_scale=self.base.logit_scale, steps=settings["steps"],
            learning_rate=settings["rate"], batch_size=settings["batch size"],
        )  # fmt: skip
        ranks = matryoshka.ranks_of(maps, self.embedded[TEST], kept)
        frames = {"evaluations": fitted.evaluations[["step", "score"]]}
        last = float(fitted.evaluations["score"].iloc[-1])
        info = {"seconds": fitted.seconds, "validation": last}
        return Result(ranks.assign(test=TEST), info, frames)


def run_study(design: Design, folder: Path, *, device: str = "cpu") -> Study:
    """Measure what the design asks; what is finished in ``folder`` is not measured again."""
    experiment = Serving(design, device)
    modules = (f"helpers.topics.serving.{name}" for name in ("codes", "matryoshka", "onnx"))
    return experiment.run(folder, experiment.identity(*modules))
