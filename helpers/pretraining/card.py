"""Model cards of the tiny checkpoints: one template, filled in from the run that made them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_suffix(".md")
Scores = Mapping[str, Mapping[str, float]]


def card(
    name: str, *, family: str, pipeline: str, summary: str, start: str, made: Mapping[str, str],
    measured: str, results: Sequence[Sequence[str]], limits: str,
) -> str:  # fmt: skip
    """The text of a checkpoint's ``README.md``.

    Parameters
    ----------
    name : str
        What ``course pretrain`` calls the model.
    family, pipeline : str
        The kind of model, and what the hub calls its task.
    summary, start, measured, limits : str
        What the model is; from what the pretraining starts; on what it was evaluated; what the
        scores do not say.
    made : mapping
        The rows of the table of the pretraining.
    results : sequence of rows
        A table; its first row names the columns.

    Raises ``ValueError`` where a field is empty or a number is NaN.
    """
    table = [" | ".join(row) for row in results]
    fields = {
        "name": name, "family": family, "pipeline": pipeline, "summary": summary, "start": start,
        "made": "\n".join(f"| {k} | {v} |" for k, v in made.items()),
        "measured": measured, "limits": limits,
        "results": "\n".join(f"| {row} |" for row in (*table[:1], _rule(results), *table[1:])),
    }  # fmt: skip
    parts = [*made.items(), *((row[0], cell) for row in results for cell in row), *fields.items()]
    empty = [key for key, text in parts if not text.strip() or re.search(r"\bnan\b", text)]
    if empty or not made or len(results) < 2:
        raise ValueError(
            f"card of {name}: {empty[0] if empty else 'a table'!r} is empty or not a number; fill "
            "it in from the run"
        )
    return TEMPLATE.read_text(encoding="utf-8").format(**fields)


def score_rows(scores: Scores, *, first: str) -> list[list[str]]:
    """Values with their intervals as the rows of ``results``; ``first`` names what they are of."""
    head = [first, "value", "95 % interval"]
    return [head, *([name, f"{one['value']:.3f}", f"{one['low']:.3f} to {one['high']:.3f}"]
                    for name, one in scores.items())]  # fmt: skip


def corpus_rows(s: Any) -> dict[str, str]:
    """The rows of a card on the corpus; ``s`` are settings with its size and shares."""
    data = (f"{s.n_images:,} generated images, two captions each; {s.web_share:.0%} dishes with "
            f"weak captions, {s.photo_share:.0%} in photo style")  # fmt: skip
    return {"data": data, "never seen": "sushi, pie, skewers; olives, cheese; turmeric sauce"}


def optimizer_row(s: Any) -> str:
    """Optimizer and schedule of settings, for a card."""
    return (f"AdamW, {s.steps:,} steps of {s.batch_size}, learning rate {s.learning_rate:g} with "
            f"{min(s.warmup, s.steps)} steps of warm-up, cosine")  # fmt: skip


def run_rows(seed: int, minutes: float) -> dict[str, str]:
    """The rows of a card on the run."""
    return {"seed": str(seed), "time": f"{minutes:.1f} minutes of one core of the machine that "
            "made it"}  # fmt: skip


def _rule(results: Sequence[Sequence[str]]) -> str:
    return " | ".join("---" for _ in results[0])
