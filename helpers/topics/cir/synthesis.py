"""Synthetic triplets: pairs mined, texts generated, the doubtful ones dropped; and their rivals.

Pairs lie in one category and near each other: a pair that is too far apart differs in everything,
and no short text leads from one to the other. Every test of the filter looks only at what one has
in practice, texts and captions, and never at the truth, which the audit keeps for itself.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
import pandas as pd
from PIL import Image

from helpers.evaluation.ranking import check_embeddings
from helpers.topics.cir.blip2 import States
from helpers.topics.cir.generator import DESCRIBE, UNFINISHED, Generator
from helpers.topics.cir.triplets import Source, Triplet

KEPT = "kept"
REASONS = (
    "unfinished", "too short", "too long", "same both ways", "repeated", "directions disagree",
    "unsupported value",
)  # fmt: skip
WORDS = (2, 20)  # of a text, at least and at most
MOST_ALIKE = 25  # pairs with the same forward text; later ones are dropped
SMALL = frozenset({
    "a", "an", "the", "of", "on", "in", "with", "and", "or", "is", "are", "at", "to", "for",
    "from", "over", "by", "its", "it", "this", "that", "some",
})  # fmt: skip
Pair = tuple[str, str]


def mine_pairs(
    rows: np.ndarray, names: Sequence[str], categories: Sequence[str], *, per_image: int = 2,
    n_pairs: int = 0, ceiling: float = 0.995, depth: int = 32, seed: int = 42,
) -> list[Pair]:  # fmt: skip
    """Each image with its nearest neighbors of the same category, most similar first.

    Of ``rows`` (n, d), ``depth`` neighbors of each are looked at; an image may be in ``per_image``
    pairs, and those with a cosine above ``ceiling`` are the same image twice. Gives ``n_pairs`` of
    (reference, target) at most (0: all): no two hold the same two images, and which of them is the
    reference is drawn.
    """
    rows = np.ascontiguousarray(check_embeddings(rows, name="images"), dtype=np.float32)
    found: dict[tuple[int, int], float] = {}
    for category in np.unique(np.asarray(categories)):
        inside = np.flatnonzero(np.asarray(categories) == category)
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows[inside])
        scores, near = index.search(rows[inside], min(depth + 1, len(inside)))
        for i, line in enumerate(near):
            for j, score in zip(line.tolist(), scores[i].tolist(), strict=True):
                if j != i and score <= ceiling:
                    pair = sorted((int(inside[i]), int(inside[j])))
                    found.setdefault((pair[0], pair[1]), score)
    used, chosen = np.zeros(len(rows), int), []
    for a, b in sorted(found, key=lambda pair: (-found[pair], pair)):
        if max(used[a], used[b]) < per_image:
            used[[a, b]] += 1
            chosen.append((names[a], names[b]))
    rng = np.random.default_rng([seed, 5])
    return [pair[::-1] if rng.random() < 0.5 else pair for pair in chosen[: n_pairs or None]]


def agreement(forward: str, back: str, truth: Any) -> bool:
    """Whether both texts name the same attributes, and what goes one way comes the other.

    Reads the two texts alone. ``truth`` knows how people put values into words.
    """
    a, b = truth.claims(forward), truth.claims(back)
    if not a.all or {n for n, _ in a.all} != {n for n, _ in b.all} or a.wanted & b.wanted:
        return False
    there, again = dict(a.wanted), dict(b.wanted)
    removed = [(n, v, again) for n, v in a.removed] + [(n, v, there) for n, v in b.removed]
    return all(come.get(n, v) == v for n, v, come in removed)


def unsupported(text: str, first: Sequence[str], second: Sequence[str], truth: Any) -> list[Pair]:
    """Values that a text names and that the captions of both images contradict.

    An attribute of which the captions of either say nothing is no ground to drop a text.
    """
    told = truth.told(first), truth.told(second)
    return sorted(
        (name, value) for name, value in truth.claims(text).all
        if all(name in one and value not in one[name] for one in told)
    )  # fmt: skip


@dataclass(frozen=True)
class Synthetic:
    """Generated triplets, the kept ones, and what became of every pair.

    ``table`` has a row a mined pair: ``pair_id``, ``reference``, ``target``, ``text``, ``reverse``,
    ``reason`` (``kept``, or the first that applies).
    """

    triplets: tuple[Triplet, ...]
    table: pd.DataFrame

    def counts(self) -> pd.DataFrame:
        """How many pairs were kept and why the others were dropped; they add up to all."""
        n = self.table["reason"].value_counts().reindex([KEPT, *REASONS], fill_value=0)
        frame = n.rename_axis("outcome").rename("pairs").reset_index()
        return frame.assign(share=(frame["pairs"] / len(self.table)).map("{:.1%}".format))


def filtered(
    source: Source, pairs: Sequence[Pair], texts: Sequence[str], reverse: Sequence[str]
) -> Synthetic:
    """The triplets of pairs and their texts, without the doubtful ones.

    Agreement and support are asked where the source's texts can be read by rule.
    """
    truth, seen, rows = source.truth, Counter(), []
    reads = truth is not None and truth.reads
    for i, ((a, b), forward, back) in enumerate(zip(pairs, texts, reverse, strict=True)):
        lengths = [len(text.split()) for text in (forward, back)]
        plain, plain_back = (" ".join(text.lower().split()) for text in (forward, back))
        tests = {
            "unfinished": any(text.endswith(UNFINISHED) for text in (forward, back)),
            "too short": min(lengths) < WORDS[0],
            "too long": max(lengths) > WORDS[1],
            "same both ways": plain == plain_back,
            "repeated": seen[plain] >= MOST_ALIKE,
            "directions disagree": reads and not agreement(forward, back, truth),
            "unsupported value": reads and any(
                unsupported(text, truth.captions(a), truth.captions(b), truth)
                for text in (forward, back)
            ),
        }  # fmt: skip
        reason = next((name for name, failed in tests.items() if failed), KEPT)
        seen[plain] += reason == KEPT
        rows.append((f"mined-{i:05d}", a, b, forward, back, reason))
    columns = ["pair_id", "reference", "target", "text", "reverse", "reason"]
    table = pd.DataFrame(rows, columns=columns)
    return Synthetic(triplets_of(table[table["reason"] == KEPT], "text", "reverse"), table)


def triplets_of(table: pd.DataFrame, text: str = "", reverse: str = "") -> tuple[Triplet, ...]:
    """The rows of a table of mined pairs as triplets, with the texts of two columns, if any.

    Where a column's text is empty, as of two equal captions, it is "nothing".
    """
    texts = [table[name].replace("", "nothing") if name else [""] * len(table)
             for name in (text, reverse)]  # fmt: skip
    rows = zip(table["pair_id"], table["reference"], table["target"], *texts, strict=True)
    return tuple(Triplet(pair, a, (b,), to, group=pair, reverse=back)
                 for pair, a, b, to, back in rows)  # fmt: skip


def generated(
    source: Source, generator: Generator, states: States, pairs: Sequence[Pair]
) -> Synthetic:
    """Triplets whose texts a generator wrote from both images of each pair."""
    texts = generator.write(states, pairs)
    return filtered(source, pairs, texts, generator.write(states, [p[::-1] for p in pairs]))


def described(generator: Generator, states: States, names: Sequence[str]) -> dict[str, str]:
    """A caption of each image by the same generator, which reads it alone."""
    alone = generator.with_instruction(DESCRIBE).write(states, [(name, name) for name in names])
    return dict(zip(names, alone, strict=True))


def from_captions(
    source: Source, pairs: Sequence[Pair], captions: dict[str, str], *, seed: int = 42
) -> tuple[list[str], list[str]]:
    """Texts of both directions, as the difference of one caption of each image."""
    said: tuple[list[str], list[str]] = ([], [])
    for i, (a, b) in enumerate(pairs):
        for texts, (before, after) in zip(said, ((a, b), (b, a)), strict=True):
            rng = np.random.default_rng([seed, i])
            texts.append(difference_text(captions[before], captions[after], source.truth, rng))
    return said


def difference_text(before: str, after: str, truth: Any, rng: np.random.Generator) -> str:
    """What leads from one caption to the other, in at most two phrases; empty if nothing does.

    Where captions cannot be read by rule, the words that are in one of them alone.
    """
    if truth is not None and truth.reads and any(truth.told([text]) for text in (before, after)):
        return truth.difference(before, after, rng)
    one, two = (list(dict.fromkeys(re.findall(r"[\w'-]+", t.lower()))) for t in (before, after))
    gained = [word for word in two if word not in one and word not in SMALL]
    lost = [word for word in one if word not in two and word not in SMALL]
    parts = [f"with {' '.join(gained)}"] if gained else []
    parts += [f"{'instead of' if gained else 'without'} {' '.join(lost)}"] if lost else []
    return " ".join(parts)


SYNTHESIZED = "@synthesized"  # behind the ids of a triplet whose target a model makes


def synthesized(
    source: Source, part: str, n: int, *, pipeline: str = ""
) -> tuple[Source, tuple[Triplet, ...]]:
    """The same triplets with targets that a generative model would paint, and a source for both.

    The text is applied to the reference, as in CompoDiff (Gu et al. 2023). A drawn target comes in
    the world's style of diffusion images; with ``pipeline``, the directory of a diffusers pipeline
    that edits by instruction (such as ``timbrooks/instruct-pix2pix``), that paints it.
    """
    if source.truth is None and not pipeline:
        raise ValueError(source.unknown("synthesized targets, for which no pipeline was given"))
    paint = _painter(pipeline) if pipeline else None
    made = {one.reference + SYNTHESIZED + one.targets[0]: one for one in source.triplets(part)[:n]}

    def load(name: str, *, px: int = 0) -> Image.Image:
        if name not in made:
            return source.load_image(name, px=px)
        one = made[name]
        if paint is not None:
            return paint(source.load_image(one.reference, px=px), one.caption)
        return source.truth.load_image(one.targets[0], px=px, style="diffusion")

    triplets = tuple(replace(one, targets=(name,)) for name, one in made.items())
    return replace(source, load_image=load), triplets


def _painter(folder: str) -> Callable[[Image.Image, str], Image.Image]:
    """An image and an instruction to the edited image; nothing is downloaded."""
    import torch
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)

    def paint(image: Image.Image, text: str) -> Image.Image:
        same = torch.Generator().manual_seed(0)  # the same target whenever it is loaded
        return pipeline(prompt=text, image=image.convert("RGB"), generator=same).images[0]

    return paint
