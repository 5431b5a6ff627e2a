"""The study of lesson 06: mixtures, controls, watermarks, the gap and the attention by step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd

from helpers.data.sets import RetrievalSet, drawn_sets
from helpers.evaluation.metrics import values_of
from helpers.evaluation.stats import Estimate, Sample, estimate
from helpers.experiment import Experiment, ranks_of
from helpers.grid import Result
from helpers.models.encoder import Encoder
from helpers.models.placement import Placement
from helpers.report import tables
from helpers.study import Design, Study
from helpers.topics.distributions import attention, domains, mixes, trajectories
from helpers.training.loop import Settings

TESTS = ("kitchen", "watermarked")
REAL, SYNTHETIC, MARKED = "100 real", "100 synthetic", "100 real watermarked"
FEW, MIXED, NO_TEXT = "25 real", "25 real + 75 synthetic", ", text frozen"
EVALUATED_AT = (0, 0.25, 0.5, 1)


def settings_of(
    *, steps: int, batch_size: int, rate: float, seed: int, looks: Sequence[float] = EVALUATED_AT
) -> Settings:
    """How every mixture is trained: the last step is kept; ``looks`` are shares of the steps."""
    return Settings(
        steps=steps, batch_size=batch_size, draw="image", keep="last", learning_rate=rate,
        evaluations=tuple(sorted({round(steps * share) for share in looks})), seed=seed,
    )  # fmt: skip


def watch(
    probes: domains.Probes, marked: attention.Marked
) -> dict[str, Callable[[Any], np.ndarray]]:
    """What :func:`mixes.train_mix` watches: embeddings of both domains, attention maps."""

    def maps(embeds: Any, images: Sequence[Any]) -> np.ndarray:
        return attention.attention_maps(getattr(embeds, "encoder", embeds), images)

    functions = {
        "real": lambda embeds: embeds.images(probes.real),
        "synthetic": lambda embeds: embeds.images(probes.synthetic),
        "watermarked": lambda embeds: maps(embeds, marked.images),
    }
    return functions | ({"clean": lambda e: maps(e, marked.clean)} if marked.clean else {})


def frames_of(
    trained: mixes.Trained, probes: domains.Probes, marked: attention.Marked
) -> dict[str, pd.DataFrame]:
    """Tidy frames of a training that was watched: ``distances``, ``attention``."""
    seen, steps = trained.seen, trained.evaluations["step"].astype(int).tolist()
    shares = [attention.share_frame(seen[name], steps, marked, images=name)
              for name in ("watermarked", "clean") if name in seen]  # fmt: skip
    distances = trajectories.distance_frame(seen, steps, probes.items_real, paired=probes.paired)
    return {"distances": distances, "attention": pd.concat(shares, ignore_index=True)}


def measured(
    base: Encoder, trained: Mapping[str, mixes.Trained], test: RetrievalSet, *, seed: int
) -> Study:
    """The ranks of the base, ``zero-shot``, and of mixtures that were trained once."""
    live = Study.of({"zero-shot": ranks_of(base, test)}, test=test.name)
    for name, one in trained.items():
        live = live.add(name, ranks_of(one.embeds, test), test=test.name, seed=seed, info=one.info)
    return live


def scores_told(live: Study, test: str) -> str:
    """Sentences on a run: the mixture with the highest hit@10, and how many lie below zero-shot."""
    zero_shot, *names = live.arms
    found = {name: live.estimate(name, test=test) for name in live.arms}
    if found[zero_shot].missing:
        return f"hit@10: {found[zero_shot].missing}. Give more images for scores and values."
    best = max(names, key=lambda name: found[name].value)
    gain = tables.points(live.difference(best, zero_shot, test=test))
    n_below = sum(found[name].value < found[zero_shot].value for name in names)
    return (f"{found[best].n_items} test items. Highest of the mixtures in this run: {best}, "
            f"{gain} against zero-shot. {n_below} of {len(names)} lie below zero-shot; "
            f"{tables.ONE_RUN}.")  # fmt: skip


def frames_by_condition(
    trained: Mapping[str, mixes.Trained], probes: domains.Probes, marked: attention.Marked
) -> list[pd.DataFrame]:
    """Distances and attention shares of trained mixtures, with a column ``condition``."""
    frames = [
        [frame.assign(condition=name) for frame in frames_of(one, probes, marked).values()]
        for name, one in trained.items()
    ]
    return [pd.concat(parts) for parts in zip(*frames, strict=True)]


@dataclass(frozen=True)
class Mixtures(Experiment):
    """The data of the design with watermarks and in its second style; the training of an arm."""

    mark: mixes.Mark | None = None

    @cached_property
    def sets(self) -> dict[str, RetrievalSet]:
        """The real sets by name, drawn once, and the test with watermarks."""
        sets = {name: _in_memory(one) for name, one in drawn_sets(self.design.data).items()}
        drawn = _in_memory(sets["kitchen"], lambda image, key: self.mark(image, key)[0])
        return sets | {"watermarked": drawn}

    @cached_property
    def probes(self) -> domains.Probes:
        """The first test images of the items that are followed, in both styles."""
        test, n = self.sets["kitchen"], self.design.settings["followed items"]
        firsts = [test.image_items.tolist().index(item) for item in test.items[:n]]
        keys = [test.image_keys[i] for i in firsts]
        other = self._in_style("kitchen", 1.0).images
        items = test.image_items[firsts].tolist()
        real, synthetic = ([images[i] for i in firsts] for images in (test.images, other))
        return domains.Probes(real, synthetic, items, items, keys)

    @cached_property
    def marked(self) -> attention.Marked:
        """The same images with watermarks, and the masks of both regions."""
        return marked_probes(self.probes, self.mark, self.design.data["kitchen"]["source"])

    @cached_property
    def synthetic(self) -> Callable[[float], RetrievalSet]:
        """The training items in the second style, a gap away from the first; each drawn once."""
        return cache(lambda gap: _in_memory(self._in_style("training", gap)))

    def _in_style(self, name: str, gap: float) -> RetrievalSet:
        about = self.design.data[name]
        sets = {other: self.design.data[other] for other in about.get("unlike", ())}
        style = domains.second_source(about["source"], gap)
        return drawn_sets(sets | {name: about | {"source": style}})[name]

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
        mix = mixes.Mix(real, synthetic, gap, watermarked)
        other = self.second_domain(gap, served, kept)
        data = mixes.mixed(self.sets["training"], other, mix, seed=seed, mark=self.mark)
        followed = (self.probes, self.marked) if follow else ()
        trained = mixes.train_mix(
            self.base, data, score=score, watch=watch(*followed) if follow else {},
            placement=Placement(**about["placement"] | {"text_layers": text_layers}),
            settings=settings_of(steps=about["steps"], batch_size=about["batch size"],
                                 rate=about["rate"], seed=seed, looks=about["looks"]),
        )  # fmt: skip
        info = {k: trained.info[k] for k in ("seconds", "trainable_parameters")}
        scores = trained.evaluations[["step", "score"]]
        info["validation"] = float(scores["score"].iloc[-1])
        frames = {"evaluations": scores} | (frames_of(trained, *followed) if follow else {})
        return Result(self._ranks(trained.embeds), info, frames)

    def _ranks(self, embeds: Any) -> pd.DataFrame:
        name = next(iter(self.bases))
        parts = [self.prepared(name, test).ranks(embeds).assign(test=test) for test in TESTS]
        return pd.concat(parts, ignore_index=True)


def _in_memory(
    data: RetrievalSet, changed: Callable[[Any, str], Any] = lambda image, key: image
) -> RetrievalSet:
    """The same set with its images in memory."""
    keyed = zip(data.image_keys, data.images, strict=True)
    images = {key: changed(image, key) for key, image in keyed}
    return domains.with_images(data, images.__getitem__)


def marked_probes(
    probes: domains.Probes, mark: mixes.Mark, source: str, *, seed: int = 42
) -> attention.Marked:
    """The real probes with watermarks drawn on, and what is known of their regions."""
    pairs = [mark(image, key) for image, key in zip(probes.real, probes.keys, strict=True)]
    masks = {"watermark": [mask for _, mask in pairs]}
    dish = domains.subject_masks(source, probes.keys, seed=seed)
    masks |= {"dish": dish} if dish else {}
    return attention.Marked([image for image, _ in pairs], probes.items_real, masks, probes.real)


def masked_images(data: domains.Domains, folder: str, n: int, **options: Any) -> attention.Marked:
    """Up to ``n`` real test images that carry watermarks, with the masks that were given."""
    known, test = domains.given_masks(data, folder, **options), data.real["test"]
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
    rows, texts, images = encoder.images(pool), encoder.texts(data.captions), {}
    for item in data.items:
        similar = rows @ texts[data.caption_items == item].mean(axis=0)
        best = np.argsort(-similar, kind="stable")
        for place, row in zip(np.flatnonzero(data.image_items == item), cycle(best), strict=False):
            images[place] = pool[row]
    return replace(data, images=[images[place] for place in range(len(data.images))])


def best_matched(encoder: Encoder, data: RetrievalSet, n: int) -> list[Any]:
    """The ``n`` images of a set that are most similar to the captions of their own items."""
    rows, texts = encoder.images(data.images), encoder.texts(data.captions)
    own = {item: texts[data.caption_items == item].mean(axis=0) for item in data.items}
    similar = [row @ own[item] for row, item in zip(rows, data.image_items, strict=True)]
    return [data.images[int(i)] for i in np.argsort(-np.array(similar), kind="stable")[:n]]


def run_study(design: Design, folder, *, mark: mixes.Mark, device: str = "cpu") -> Study:
    """Train what the design asks; finished runs in ``folder`` are not trained again.

    ``mark`` draws a watermark on an image, decided by its key, and gives its mask.
    """
    experiment, topic = Mixtures(design, device, mark), "helpers.topics.distributions"
    names = ("mixes", "study", "attention", "trajectories", "domains")
    code = [*(f"{topic}.{name}" for name in names), "helpers.topics.watermarks.marks",
            "helpers.training.prefix"]  # fmt: skip
    return experiment.run(folder, experiment.identity(*code))


def other_estimates(study: Study) -> dict[str, Estimate]:
    """The hypotheses that rest on two tests, on attention or on distances, by name."""
    if not {"attention", "distances"} <= set(study.frames):
        return {}
    samples = []  # hit@10 on the test with watermarks minus that on the one without, by query
    for plain, marked in zip(*(study.queries(test, "both") for test in TESTS), strict=True):
        values = values_of(marked.ranks[REAL], "hit@10") - values_of(plain.ranks[REAL], "hit@10")
        samples.append(Sample(values, marked.groups))
    distances = study.frames["distances"]
    return {
        "watermarks on the test": estimate(*samples),
        "attention": watermark_effect(study.frames["attention"], "arm"),
        "gap on real": trajectories.after_before(distances[distances["arm"] == REAL]),
        "gap on synthetic": trajectories.after_before(distances[distances["arm"] == SYNTHETIC]),
    }


def watermark_effect(shares: pd.DataFrame, named: str) -> Estimate:
    """Attention on watermarks after training on watermarked images minus that after clean ones.

    ``named`` is the column with the names of the trainings.
    """
    on_mark = shares[(shares["region"] == "watermark") & (shares["images"] == "watermarked")]
    last = trajectories.last_step(on_mark)
    return trajectories.paired(*(last[last[named] == arm] for arm in (MARKED, REAL)), "share")


def watermarks_told(shares: pd.DataFrame) -> str:
    """A sentence on the watermark effect of a run, where both trainings are there."""
    if not {REAL, MARKED} <= set(shares["condition"]):
        return ""
    found = watermark_effect(shares, "condition")
    what = "Share on watermarks, trained on watermarked minus on clean images, points"
    return f" {what}: {trajectories.signed(found, scale=100)}."


def mixes_of(arms: Sequence[str]) -> list[mixes.Mix]:
    """The arms that are plain mixtures: no control, all towers trained."""
    return [mixes.Mix.parse(arm) for arm in arms if mixes.NAME.fullmatch(arm)]


def gaps_told(study: Study) -> str:
    """A sentence: the style gap at which added synthetic images gain nothing, in both regimes.

    They are added to a quarter of the real ones, with and without trained text layers.
    """
    told = []
    for end in ("", NO_TEXT):
        found = mixes_of([arm.removesuffix(end) for arm in study.arms if arm.endswith(end)])
        gaps = {m.gap: m.name + end for m in found if (m.real, m.synthetic) == (25, 75)}
        tried = sorted(gaps)
        arms = [FEW + end, *map(gaps.get, tried)]
        draws = mixes.resampled_scores(study, arms, test=TESTS[0])
        values = [mixes.break_even(tried, row[1:] - row[0]) for row in draws]
        told.append(mixes.with_interval(values).text + end)
    return f"Style gap at which added images gain nothing: {'; '.join(told)}."


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
