"""What the systems that the course follows report, beside what is measured here."""

from collections.abc import Sequence

import pandas as pd

from helpers.report import tables
from helpers.report.style import DIRECTION_NAMES
from helpers.study import Study

# System B, CLIP ViT-B/32 on 54 recipes with 103 images. hit@K in percent: zero-shot and after LoRA,
# each from text to image and from image to text.
SYSTEM_B = {
    "hit@1": (57.4, 68.9, 59.3, 68.9), "hit@5": (79.6, 91.3, 85.2, 94.2),
    "hit@10": (94.4, 96.1, 96.3, 99.0), "mrr": (0.688, 0.796, 0.702, 0.799),
    "mean rank": (3.57, 2.07, 3.28, 1.95),
}  # fmt: skip


def beside_system_b(study: Study, arms: Sequence[str], *, test: str) -> pd.DataFrame:
    """All metrics of some arms in both directions, with chance and what system B reports."""
    table = tables.wide_table(study.table(list(arms), metrics=tables.METRICS, test=test))
    for direction, name in DIRECTION_NAMES.items():
        levels = [study.chance(m, test=test, direction=direction) for m in table["metric"]]
        table[f"chance, {name}"] = list(map(tables.number, levels, table["metric"]))
    for i, name in ((0, "B zero-shot"), (2, "B after LoRA")):
        cells = [SYSTEM_B.get(m, ("–",) * 4)[i : i + 2] for m in table["metric"]]
        table[f"{name}: text to image / image to text"] = [f"{a} / {b}" for a, b in cells]
    return table
