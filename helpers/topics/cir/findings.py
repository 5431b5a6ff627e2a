"""Tables of lessons 07 and 12, and what they found as sentences made from the numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load, save

from helpers import paths
from helpers.evaluation.metrics import summary
from helpers.evaluation.stats import Sample, estimate
from helpers.models.encoder import Encoder
from helpers.report import tables
from helpers.store.zones import open_zone, write_file_atomically
from helpers.study import Design, Study
from helpers.topics.cir import composers, metrics, queries
from helpers.topics.cir.benchmarks import IMAGES, image_loader, keep_pictured, read_cirr
from helpers.topics.cir.blip2 import Blip2, States, zero_shot_rows
from helpers.topics.cir.generator import load_generator
from helpers.topics.cir.qformer import COLLAPSED, Trained
from helpers.topics.cir.synthesis import Synthetic
from helpers.topics.cir.triplets import Source, Triplet, TripletError, TripletSet
from helpers.training.loop import Fitted

LEVELS = ("hit@1", "hit@10", "hit@50")
WEIGHTS = "fine-tuning-zone/experiments/composed"


def sizes(data: Source) -> str:
    """How many triplets each part has over how many images, and what is left out."""
    told = [f"{part}: {len(data.triplets(part)):,} over {len(data.names(part)):,} images"
            for part in data.sets]  # fmt: skip
    several = [t for t in data.triplets("test") if len(t.targets) > 1]
    found = f"{data.name}. {'; '.join(told)}. Of {len(data.triplets('test')):,} test queries "
    return f"{found}{len(several):,} have more than one target. {data.left_out}".strip()


def levels(live: Study, *, test: str) -> tuple[pd.DataFrame, str]:
    """hit@1, 10 and 50 of every model with intervals and chance; the best at hit@10."""
    level = {m: live.chance(m, test=test) for m in LEVELS}
    chance = {(m, live.directions(test)[0]): value for m, value in level.items()}
    table = tables.wide_table(live.table(live.arms, metrics=LEVELS, test=test), chance=chance)
    values = {arm: live.estimate(arm, test=test) for arm in live.arms}
    best = max(values, key=lambda arm: values[arm].value)
    found = f"hit@10: {best} {tables.value_text(values[best])}, "
    return table, found + f"chance {tables.number(level['hit@10'], 'hit@10')}."


def minus(live: Study, base: str, *, test: str) -> tuple[pd.DataFrame, str]:
    """hit@10 of every other model minus a base, for ``plots.points_with_intervals``."""
    rows = [(arm, live.directions(test)[0], live.difference(arm, base, test=test))
            for arm in live.arms if arm != base]  # fmt: skip
    table = pd.DataFrame(rows, columns=["arm", "direction", "estimate"])
    told = ", ".join(f"{arm} {tables.points(one)}" for arm, _, one in rows)
    return table, f"hit@10 minus {base}: {told}."


def gain(live: Study, arm: str, base: str, *, test: str) -> tuple[str, str]:
    """One model minus another at hit@10; and whether it is ``above``, ``below`` or ``level``."""
    one = live.difference(arm, base, test=test)
    right = "above" if one.value > 0 else "below" if one.value < 0 else "level"
    return f" {arm} minus {base}: {tables.points(one)}.", right


def needs_table(ranks: Mapping[str, pd.DataFrame], labels: np.ndarray) -> tuple[pd.DataFrame, str]:
    """hit@10 of each model by what the queries need; the share that needs both sides."""
    rows = []
    for need in ("all", *queries.NEEDS):
        chosen = np.flatnonzero(labels == need) if need != "all" else np.arange(len(labels))
        values = {name: _hit10(one.loc[one["query"].isin(chosen), "rank"])
                  for name, one in ranks.items() if len(chosen)}  # fmt: skip
        rows.append({"needs": need, "queries": len(chosen), **values})
    share = tables.number((labels == "both").mean(), "hit@10")
    found = f"{share} of the queries need both sides: neither finds a target among its first ten."
    return pd.DataFrame(rows).fillna("–"), found


def _hit10(ranks: pd.Series) -> str:
    return tables.number(summary(ranks.to_numpy(), "hit@10"), "hit@10")


def audited(blip2: Blip2, data: Source, states: States, labels: np.ndarray) -> str:
    """What a BLIP-2, which set no label, finds with one side alone of the queries "both".

    Where nothing is left to find for one side alone, the labels hold.
    """
    told = []
    for side in composers.BASELINES[:2]:
        ranks = zero_shot_ranks(side, blip2, data, states)["rank"]
        told.append(f"{side} {_hit10(ranks[labels == 'both'])} (of all queries {_hit10(ranks)})")
    found = " and ".join(told)
    return f" Audit by {blip2.name}, which set no label: of these it finds with {found}."


def kinds_table(
    scores: Mapping[str, Sequence[np.ndarray]], data: Source
) -> tuple[pd.DataFrame, str]:
    """What the first ten images of each model show, and its composition gap."""
    rows = []
    for name, one in scores.items():
        found = queries.results_of(one, data.sets["test"], data.truth)
        shares = {k: f"{v:.1%}" for k, v in found.shares().items()}
        gap = share_text(found.gap, [t.group for t in data.triplets("test")])
        rows.append({"model": name, **shares, "composition gap": gap})
    told = ", ".join(f"{row['model']} {row['composition gap']}" for row in rows)
    return pd.DataFrame(rows), f"Composition gap: {told}."


def share_text(values: Sequence[bool], groups: Sequence[str]) -> str:
    """A share with its interval over groups; without one, where there are fewer than two."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return f"{values.sum():g} of {len(values)}"
    return tables.value_text(estimate(Sample(values[None], list(groups)), bounds=(0, 1)), "hit")


def wordings(model: composers.Scorer, base: Encoder, data: Source, images, n: int = 4) -> str:
    """How far the wording decides, over ``n`` texts that ask for the same."""
    found = queries.wordings(model, base, data, images, n)
    low, high = (tables.number(found[end], "hit@10") for end in ("low", "high"))
    return (
        f" In {n} wordings hit@10 goes from {low} to {high}; {found['undecided']:.1%} of the "
        "queries are found in some wordings and missed in others."
    )


def texts_found(audits: Mapping[str, pd.DataFrame]) -> str:
    """The share of complete and hallucinated texts of each writer, where they can be judged."""
    told = [f"{name}: complete {share_text(one['complete'], one['pair_id'])}, hallucinated "
            f"{share_text(one['hallucinated'], one['pair_id'])}" for name, one in audits.items()
            if "complete" in one]  # fmt: skip
    return "; ".join(told) + "." if told else "Nobody has written down what these images show."


def mined_found(made: Synthetic, audit: pd.DataFrame) -> str:
    """How many pairs were kept, how many attributes they differ in, and how their texts judge."""
    kept = (made.table["reason"] == "kept").to_numpy()
    found = f"{kept.sum():,} of {len(kept):,} pairs are kept."
    if "differing" not in audit:
        return found
    near = share_text(audit["differing"] <= 2, audit["pair_id"])
    wrong = [share_text(one["hallucinated"], one["pair_id"]) for one in (audit, audit[kept])]
    found += f" {near} of the pairs differ in one or two attributes"
    return found + f"; hallucinated: {wrong[0]} of all texts, {wrong[1]} of those kept."


def protocols(
    scored: Sequence[tuple[Source, Mapping[str, Sequence[np.ndarray]]]],
) -> tuple[pd.DataFrame, str, list[dict[str, Any]]]:
    """What each data set's protocol reports for the test scores of each model.

    A table, a sentence, flat records. Drawn triplets have no published protocol: hit@1, 10 and 50.
    """
    rows, records, best = [], [], []
    for data, models in scored:
        sets, values = data.sets["test"], {}
        about = {"data": data.name, "split": "test", "n": len(data.triplets("test"))}
        for name, scores in models.items():
            ranks = metrics.rank_frame(scores, sets)["rank"].to_numpy()
            found = metrics.protocol(scores, sets) or {m: summary(ranks, m) for m in LEVELS}
            records += [{**about, "model": name, "metric": m, "value": v} for m, v in found.items()]
            shown = {m: f"{100 * v:.1f}" for m, v in found.items()}
            rows.append({"data": data.name, "model": name, **shown})
            values[name], first = next(iter(found.values())), next(iter(found))
        top = max(values, key=values.get)
        best.append(f"{data.name}: {first} is highest for {top}, {100 * values[top]:.1f} %")
    return pd.DataFrame(rows).fillna("–"), "; ".join(best) + ".", records


def write_submissions(folder: Path, source: str, scorer: composers.Scorer, base: Encoder) -> str:
    """Write both files for CIRR's test server by a trained model; none for another source.

    Of ``test1`` where its annotations and images lie in the source's folder, else of ``val``; none
    either where fewer images are left than the server wants for a query.
    """
    kind, _, place = source.partition(":")
    if kind != "cirr":
        return ""
    asked = _pictured(paths.find(place), "test1") or _pictured(paths.find(place), "val")
    if asked is None:
        return ""
    load = image_loader(paths.find(place) / IMAGES, asked.files)
    read = Source(asked.name, {"test": (asked,)}, load, str)
    features = composers.embed(base, [asked], composers.embed_images(base, read))
    (scores,) = composers.scores_of(scorer, features)
    written = []
    for metric in metrics.SUBMITTED:
        path = folder / f"{asked.split}_pred_ranks_{metric}.json"
        content = metrics.submission(scores, asked, metric)
        write_file_atomically(path, json.dumps(content).encode())
        written.append(path.name)
    return f" For CIRR's test server: {' and '.join(written)}."


def _pictured(folder: Path, split: str) -> TripletSet | None:
    try:
        found = keep_pictured(read_cirr(folder, split=split), folder / IMAGES)
    except TripletError:
        return None
    whole = tuple(t for t in found.triplets if len(t.subset) == metrics.SUBSET)
    enough = whole and len(found.gallery) > metrics.SUBMITTED["recall"]
    return TripletSet(found.name, split, whole, found.gallery, found.files) if enough else None


def keep_weights(zone: str, name: str, model: torch.nn.Module) -> str:
    """Write the weights of a trained composer into a zone, and open them again to see."""
    opened, key = open_zone(zone), f"{WEIGHTS}/{name}.safetensors"
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    opened.write_bytes(key, save(state))
    again = load(opened.read_bytes(key))
    if any(not torch.equal(again[k], v) for k, v in state.items()):
        raise ValueError(f"{key} of zone {opened.name} does not hold what was written")
    return f"{key} of zone {opened.name}: {sum(v.numel() for v in state.values()):,} numbers."


def collapses(runs: Mapping[str, Trained]) -> tuple[dict[str, float], str]:
    """The spread of p at the end of each training; and, in words, what loss and search say.

    At the end: the means over the last five batches, hit@10 on validation after the last step.
    """
    ends, told = {}, []
    for name, one in runs.items():
        last = one.steps.tail(5)
        ends[name] = float(last["spread"].mean())
        hits = tables.number(one.fitted.evaluations["score"].iloc[-1], "hit@10")
        collapsed = "collapsed, " * (ends[name] < COLLAPSED)
        told.append(f"{name}: {collapsed}{ends[name]:.2%} differs, p2p {last['p2p'].mean():.4f}, "
                    f"hit@10 {hits}")  # fmt: skip
    return ends, f"At the end, on validation: {'; '.join(told)}."


def by_step(runs: Mapping[str, pd.DataFrame], column: str) -> pd.DataFrame:
    """A column of frames with a ``step``, by training, for ``plots.lines_with_intervals``."""
    parts = [one[["step", column]].assign(run=name) for name, one in runs.items()]
    return pd.concat(parts).rename(columns={column: "value"})


def reported(design: Design) -> str:
    """What the source reports of what a design asks."""
    told = [f"{h.name} {h.reported:+.2f} ({h.source})" for h in design.hypotheses if h.reported]
    return f"{design.sizes} Reported elsewhere, in points: {'; '.join(told)}."


def verdicts(judged: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The hypotheses of a study with their verdicts, as a table and in sentences."""
    return tables.verdict_table(judged), ". ".join(tables.verdict_sentences(judged)) + "."


def shares_found(shares: pd.DataFrame) -> str:
    """Where each model's pretraining gains most over image only, by share of annotated triplets."""
    told = []
    for arm, part in shares.groupby("arm", sort=False):
        best = part.iloc[int(np.argmax([one.value for one in part["estimate"]]))]
        told.append(f"{arm} at {best['share']:g} %: {tables.points(best['estimate'])}")
    return f"Highest above image only: {'; '.join(told)}."


def with_reverse_texts(
    triplets: Sequence[Triplet], data: Source, generator: str, *, device: str
) -> tuple[tuple[Triplet, ...], str]:
    """The triplets with a reverse text each; a generator writes those that nobody has written.

    FashionIQ and CIRR have texts from reference to target alone. Where the generator writes
    nothing, the reverse text is "undo: " with the text itself.
    """
    silent = [one for one in triplets if not one.reverse.strip()]
    if not silent:
        return tuple(triplets), ""
    writer = load_generator(generator, device=device)
    pairs = [(one.targets[0], one.reference) for one in silent]
    kept = writer.cached_states(data, [name for pair in pairs for name in pair])
    written = dict(zip((t.pair_id for t in silent), writer.write(kept, pairs), strict=True))
    full = (replace(t, reverse=t.reverse or written.get(t.pair_id) or f"undo: {t.caption}")
            for t in triplets)  # fmt: skip
    said = f"{data.name} has no reverse text for {len(silent)} triplets: the generator wrote them."
    return tuple(full), said


def zero_shot_ranks(
    side: str, blip2: Blip2, data: Source, states: States, *, part: str = "test"
) -> pd.DataFrame:
    """Ranks of a part by ``image only`` or ``text only`` of a BLIP-2 without training."""
    names, captions = data.names(part), [t.caption for t in data.triplets(part)]
    images, texts = zero_shot_rows(blip2, states, names, captions)
    features = composers.Features(data.sets[part], composers.ImageRows(names, images), texts)
    return composers.ranks_of(composers.build(side, images.shape[1]), features)


def steps_found(runs: Mapping[str, Fitted]) -> str:
    """The step that validation selected in each training, with its score; 0: no step helped."""
    told = []
    for name, one in runs.items():
        score = one.evaluations.set_index("step")["score"][one.best_step]
        told.append(f"{name} step {one.best_step} ({tables.number(score, 'hit@10')})")
    return f" Selected on validation: {', '.join(told)}."


def told_by(
    sets: Sequence[TripletSet], asked: Sequence[Triplet], texts: Sequence[str]
) -> list[TripletSet]:
    """The sets of some triplets alone, with other texts in the place of their own."""
    said = dict(zip((t.pair_id for t in asked), texts, strict=True))
    kept = [
        replace(one, triplets=tuple(
            replace(t, caption=said[t.pair_id]) for t in one.triplets if t.pair_id in said))
        for one in sets
    ]  # fmt: skip
    return [one for one in kept if one.triplets]
