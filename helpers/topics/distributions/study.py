"""The study of lesson 06: mixtures, controls, watermarks, the gap and the attention by step."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from helpers.data.sets import LazyImages, RetrievalSet, drawn_set, drawn_sets
from helpers.evaluation.metrics import values_of
from helpers.evaluation.stats import Estimate, Sample, estimate
from helpers.experiment import Experiment, ranks_of
from helpers.grid import Result
from helpers.models.encoder import Encoder
from helpers.models.placement import Placement
from helpers.report import tables
from helpers.study import Design, Study
from helpers.topics.distributions import attention, trajectories
from helpers.topics.distributions.domains import (
    Domains,
    Probes,
    given_masks,
    second_source,
    subject_masks,
)
from helpers.topics.distributions.mixes import (
    Mark,
    Mix,
    Trained,
    Value,
    break_even,
    mixed,
    resampled_scores,
    train_mix,
    watermarked,
    with_interval,
)
from helpers.training.loop import Settings

TESTS = ("kitchen", "watermarked")
REAL, SYNTHETIC, MARKED = "100 real", "100 synthetic", "100 real watermarked"
FEW, MIXED, NO_TEXT = "25 real", "25 real + 75 synthetic", ", text frozen"
LOOKS = (0, 0.25, 0.5, 1)


def settings_of(
    *, steps: int, batch_size: int, rate: float, seed: int, looks: Sequence[float] = LOOKS
) -> Settings:
    """How every mixture is trained: the last step is kept; ``looks`` are shares of the steps."""
    return Settings(
        steps=steps, batch_size=batch_size, draw="image", keep="last", learning_rate=rate,
        evaluations=tuple(sorted({round(steps * share) for share in looks})), seed=seed,
    )  # fmt: skip


def watch(
    probes: Probes | None, marked: attention.Marked | None = None
) -> dict[str, Callable[[Any], np.ndarray]]:
    """What :func:`mixes.train_mix` watches: embeddings of both domains, attention maps."""
    functions: dict[str, Callable[[Any], np.ndarray]] = {}
    if probes:
        functions["real"] = lambda embeds: embeds.images(probes.real)
        functions["synthetic"] = lambda embeds: embeds.images(probes.synthetic)
    if marked:
        images = {"watermarked": marked.images} | ({"clean": marked.clean} if marked.clean else {})
        for name, some in images.items():
            functions[name] = lambda embeds, some=some: attention.attention_maps(
                getattr(embeds, "encoder", embeds), some)  # fmt: skip
    return functions


def frames_of(
    trained: Trained, probes: Probes | None, marked: attention.Marked | None
) -> dict[str, pd.DataFrame]:
    """Tidy frames of a training: ``evaluations``, ``distances``, ``attention``."""
    frames = {"evaluations": trained.evaluations[["step", "score"]]}
    if probes:
        frames["distances"] = trajectories.distance_frame(
            trained.seen, trained.steps, probes.items_real, paired=probes.paired
        )
    if marked:
        frames["attention"] = pd.concat([
            attention.share_frame(trained.seen[name], trained.steps, marked, images=name)
            for name in ("watermarked", "clean") if name in trained.seen
        ], ignore_index=True)  # fmt: skip
    return frames


def measured(
    base: Encoder, trained: Mapping[str, Trained], test: RetrievalSet, *, seed: int
) -> Study:
    """The ranks of the base, ``zero-shot``, and of mixtures that were trained once."""
    live = Study.of({"zero-shot": ranks_of(base, test)}, test=test.name)
    for name, one in trained.items():
        about = {"test": test.name, "seed": seed, "info": one.info}
        live = live.add(name, ranks_of(one.embeds, test), **about)
    return live


def looked_at(
    trained: Mapping[str, Trained], probes: Probes, marked: attention.Marked
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distances and attention shares of trained mixtures, with a column ``condition``."""
    frames = {name: frames_of(one, probes, marked) for name, one in trained.items()}
    return tuple(
        pd.concat([f[kind].assign(condition=name) for name, f in frames.items()])
        for kind in ("distances", "attention")
    )


@dataclass(frozen=True)
class Mixtures(Experiment):
    """The data of the design with watermarks and in its second style; the training of an arm."""

    mark: Mark | None = None

    @cached_property
    def sets(self) -> dict[str, RetrievalSet]:
        """The real sets by name, drawn once, and the test with watermarks."""
        sets = {name: _held(one) for name, one in drawn_sets(self.design.data).items()}
        return sets | {"watermarked": watermarked(sets["kitchen"], self.mark)}

    @cached_property
    def probes(self) -> Probes:
        """The first test images of the items that are followed, in both styles."""
        test, n = self.sets["kitchen"], self.design.settings["followed items"]
        firsts = [test.image_items.tolist().index(item) for item in test.items[:n]]
        keys = [test.image_keys[i] for i in firsts]
        other = drawn_set(**self._in_style("kitchen", 1.0)).images
        items = test.image_items[firsts].tolist()
        return Probes([test.images[i] for i in firsts], [other[i] for i in firsts], items, items,
                      keys)  # fmt: skip

    @cached_property
    def marked(self) -> attention.Marked:
        """The same images with watermarks, and the masks of both regions."""
        return marked_probes(self.probes, self.mark, self.design.data["kitchen"]["source"])

    def synthetic(self, gap: float) -> RetrievalSet:
        """The training items in the second style, ``gap`` away from the first."""
        if gap not in self._drawn:
            self._drawn[gap] = _held(drawn_set(**self._in_style("training", gap)))
        return self._drawn[gap]

    @cached_property
    def _drawn(self) -> dict[float, RetrievalSet]:
        return {}

    def _in_style(self, name: str, gap: float) -> dict[str, Any]:
        about = self.design.data[name]
        others = [self.design.data[other] for other in about.get("unlike", ())]
        parts = [range(one["first"], one["first"] + one["n"]) for one in others]
        return about | {"source": second_source(about["source"], gap), "unlike": parts}

    def second_domain(self, gap: float, served: str, kept: int) -> RetrievalSet:
        """What stands in the place of real images: synthetic ones, or those of a control.

        ``retrieved``: other real images, found by the captions. ``narrow``: of the synthetic images
        the ``kept`` that match their own captions best, again found by the captions.
        """
        data = self.synthetic(gap)
        if served == "retrieved":
            return served_from(self.base, data, list(self.sets["pool"].images))
        if served == "narrow":
            return served_from(self.base, data, best_matched(self.base, data, kept))
        return data

    def train(
        self, *, seed: int, real: float = 0, synthetic: float = 0, gap: float = 1.0,
        watermarked: bool = False, text_layers: int = -1, served: str = "", kept: int = 0,
        follow: bool = False,
    ) -> Result:  # fmt: skip
        """Train one arm with one seed and rank both tests; without images the base is ranked."""
        about, name = self.design.settings, next(iter(self.bases))
        score = self.prepared(name, "validation").hit10
        if not real + synthetic:
            scores = pd.DataFrame({"step": [0], "score": [score(self.base)]})
            return Result(self._ranks(self.base), {}, {"evaluations": scores})
        mix = Mix(real, synthetic, gap, watermarked)
        data = mixed(self.sets["training"], self.second_domain(gap, served, kept), mix, seed=seed,
                     mark=self.mark)  # fmt: skip
        followed = (self.probes, self.marked) if follow else (None, None)
        trained = train_mix(
            self.base, data, score=score, watch=watch(*followed),
            placement=Placement(**about["placement"] | {"text_layers": text_layers}),
            settings=settings_of(steps=about["steps"], batch_size=about["batch size"],
                                 rate=about["rate"], seed=seed, looks=about["looks"]),
        )  # fmt: skip
        info = {k: trained.info[k] for k in ("seconds", "trainable_parameters")}
        info["validation"] = float(trained.evaluations["score"].iloc[-1])
        return Result(self._ranks(trained.embeds), info, frames_of(trained, *followed))

    def _ranks(self, embeds: Any) -> pd.DataFrame:
        name = next(iter(self.bases))
        parts = [self.prepared(name, test).ranks(embeds).assign(test=test) for test in TESTS]
        return pd.concat(parts, ignore_index=True)


def _held(data: RetrievalSet) -> RetrievalSet:
    """The same set with its images in memory."""
    images = dict(zip(data.image_keys, data.images, strict=True))
    return replace(data, images=LazyImages(data.image_keys, images.__getitem__))


def marked_probes(probes: Probes, mark: Mark, source: str, *, seed: int = 42) -> attention.Marked:
    """The real probes with watermarks drawn on, and what is known of their regions."""
    pairs = [mark(image, key) for image, key in zip(probes.real, probes.keys, strict=True)]
    masks = {"watermark": [mask for _, mask in pairs]}
    dish = subject_masks(source, probes.keys, seed=seed)
    masks |= {"dish": dish} if dish else {}
    return attention.Marked([image for image, _ in pairs], probes.items_real, masks, probes.real)


def masked_images(both: Domains, folder: str, n: int, **options: Any) -> attention.Marked:
    """Up to ``n`` real test images that carry watermarks, with the masks that were given."""
    known, test = given_masks(both, folder, **options), both.real["test"]
    rows = [i for i, key in enumerate(test.image_keys) if key in known][:n]
    if not rows:
        raise ValueError(f"masks {folder!r}: none of its {len(known)} masks is of a test image")
    masks = {"watermark": [known[test.image_keys[i]] for i in rows]}
    items = test.image_items[rows].tolist()
    return attention.Marked([test.images[i] for i in rows], items, masks)


def served_from(encoder: Encoder, data: RetrievalSet, pool: Sequence[Any]) -> RetrievalSet:
    """A set whose images are those of a pool that its captions find.

    An item with k images gets the k images of the pool that are most similar to its captions.
    """
    rows, texts = encoder.images(pool), encoder.texts(data.captions)
    images: list[Any] = [None] * len(data.images)
    for item in data.items:
        wanted = np.flatnonzero(data.image_items == item)
        similar = rows @ texts[data.caption_items == item].mean(axis=0)
        best = np.argsort(-similar, kind="stable")[np.arange(len(wanted)) % len(rows)]
        for place, found in zip(wanted, best, strict=True):
            images[place] = pool[found]
    return replace(data, images=images)


def best_matched(encoder: Encoder, data: RetrievalSet, n: int) -> list[Any]:
    """The ``n`` images of a set that are most similar to the captions of their own items."""
    rows, texts = encoder.images(data.images), encoder.texts(data.captions)
    own = {item: texts[data.caption_items == item].mean(axis=0) for item in data.items}
    similar = [row @ own[item] for row, item in zip(rows, data.image_items, strict=True)]
    return [data.images[int(i)] for i in np.argsort(-np.array(similar), kind="stable")[:n]]


def run_study(design: Design, folder, *, mark: Mark, device: str = "cpu") -> Study:
    """Train what the design asks; finished runs in ``folder`` are not trained again.

    ``mark`` draws a watermark on an image, decided by its key, and gives its mask.
    """
    experiment, topic = Mixtures(design, device, mark), "helpers.topics.distributions"
    code = [f"{topic}.{name}" for name in ("mixes", "study", "attention", "trajectories")]
    code += ["helpers.training.prefix", "helpers.topics.watermarks.marks"]
    return experiment.run(folder, experiment.identity(*code))


def other_estimates(study: Study) -> dict[str, Estimate]:
    """The hypotheses that rest on two tests, on attention or on distances, by name."""
    if not {"attention", "distances"} <= set(study.frames):
        return {}
    shares, distances = study.frames["attention"], study.frames["distances"]
    on_mark = shares[(shares["region"] == "watermark") & (shares["images"] == "watermarked")]
    on_mark = on_mark[on_mark["step"] == on_mark["step"].max()]
    tables_of = {arm: _wide(on_mark[on_mark["arm"] == arm], "share") for arm in (REAL, MARKED)}
    return {
        "watermarks on the test": between_tests(study, REAL),
        "attention": _paired(tables_of[MARKED], tables_of[REAL]),
        "gap on real": after_before(distances[distances["arm"] == REAL]),
        "gap on synthetic": after_before(distances[distances["arm"] == SYNTHETIC]),
    }


def between_tests(study: Study, arm: str) -> Estimate:
    """hit@10 of an arm on the test with watermarks minus that on the test without, by query."""
    samples = []
    for a, b in zip(*(study.queries(test, "both") for test in reversed(TESTS)), strict=True):
        values = values_of(a.ranks[arm], "hit@10") - values_of(b.ranks[arm], "hit@10")
        samples.append(Sample(values, a.groups))
    return estimate(*samples)


def after_before(distances: pd.DataFrame) -> Estimate:
    """The distance of the pairs after the last step minus that before the first."""
    ends = (distances["step"] == distances["step"].agg(how) for how in ("max", "min"))
    return _paired(*(_wide(distances[part], "distance") for part in ends))


def _wide(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row for each seed, a column for each item."""
    return frame.astype({column: float}).pivot_table(column, "seed", "item")


def _paired(a: pd.DataFrame, b: pd.DataFrame) -> Estimate:
    seeds = a.index.intersection(b.index)
    values = a.loc[seeds].to_numpy() - b.loc[seeds, a.columns].to_numpy()
    return estimate(Sample(values, list(a.columns)))


def mixes_of(arms: Sequence[str]) -> list[Mix]:
    """The arms that are plain mixtures: no control, all towers trained."""
    found = []
    for arm in arms:
        with suppress(ValueError):
            found.append(Mix.parse(arm))
    return found


def break_even_gap(study: Study, *, end: str = "") -> Value:
    """The style gap at which synthetic images added to a quarter of the real ones gain nothing.

    ``end`` of the arms' names: ``NO_TEXT`` for those without trained text layers.
    """
    found = mixes_of([arm.removesuffix(end) for arm in study.arms if arm.endswith(end)])
    gaps = {m.gap: m.name + end for m in found if (m.real, m.synthetic) == (25, 75)}
    arms = [FEW + end, *(gaps[gap] for gap in sorted(gaps))]
    draws = resampled_scores(study, arms, test=TESTS[0])
    return with_interval([break_even(sorted(gaps), row[1:] - row[0]) for row in draws])


def controls(study: Study, design: Design) -> pd.DataFrame:
    """The controls beside the mixture that they stand for: described, without p or verdict."""
    rows = []
    for arm, about in design.arms.items():
        if about.get("served"):
            found = study.difference(arm, MIXED, test=TESTS[0])
            rows.append((arm, tables.value_text(study.estimate(arm, test=TESTS[0])),
                         tables.difference_text(found), found.n_seeds))  # fmt: skip
    named = ["control", "hit@10 [95 %]", f"minus {MIXED}, points [95 %]", "trainings"]
    return pd.DataFrame(rows, columns=named)


def gaps_told(study: Study) -> str:
    """A sentence: the style gap at which added synthetic images gain nothing, in both regimes."""
    told = "; ".join(f"{break_even_gap(study, end=end).text}{end}" for end in ("", NO_TEXT))
    return f"Style gap at which added images gain nothing: {told}."


def records(distances: pd.DataFrame, shares: pd.DataFrame, *, model: str) -> list[dict[str, Any]]:
    """Headline numbers of a live run that are no ranks: the domains after training, attention."""
    last = distances[distances["step"] == distances["step"].max()].groupby("condition", sort=False)
    n = shares["item"].nunique()
    found = [{"metric": "distance of the domains after training", "model": f"{model}, {name}",
              "value": float(one.mean()), "n": n, "unit": "two real images"}
             for name, one in last["distance"]]  # fmt: skip
    return found + [
        {"metric": f"attention on the {region}, {images} images", "model": f"{model}, {name}",
         "value": float(value), "n": n, "unit": "fraction"}
        for (region, name, images), value in attention.last_shares(shares).items()
    ]  # fmt: skip
