"""What changes at ten and a hundred million rows: sizes by formula, and what Milvus publishes."""

import math
from dataclasses import dataclass

import pandas as pd

GIB = 2**30


@dataclass(frozen=True)
class Tier:
    """A kind of cluster as its maker describes it, for rows of 768 dimensions.

    ``millions`` is the capacity of one compute unit, ``queries_per_s`` and ``latency`` the ranges
    that are stated for the kind.
    """

    name: str
    millions: float
    queries_per_s: str
    latency: str


# docs.zilliz.com/docs/cu-types-explained, "Select the Right Cluster Type" (Zilliz makes Milvus)
TIERS = (
    Tier("performance-optimized", 1.5, "500 to 1,500", "below 10 ms"),
    Tier("capacity-optimized", 5, "100 to 300", "tens of ms"),
    Tier("tiered storage", 20, "5 to 20", "hundreds of ms"),
)
# milvus.io/blog, "How to Run 25 Million Image Vectors on Under 1GB of Memory in Milvus" (2026):
# what Milvus's own sizing tool says of 25 million rows of 1,280 dimensions.
SIZING_TOOL = {"rows": 25_000_000, "dimension": 1280, "raw_gb": 119.2, "loaded_gb": 139.4}
SOURCES = (
    "Zilliz Cloud documentation, Select the Right Cluster Type: capacity, queries/s and latency",
    "Milvus blog, How to Run 25 Million Image Vectors on Under 1GB of Memory: the sizing tool",
)


def raw_gb(n: int, dimension: int, *, bytes_each: int = 4) -> float:
    """GiB of the rows themselves.

    >>> round(raw_gb(25_000_000, 1280), 1)
    119.2
    """
    return n * dimension * bytes_each / GIB


def hnsw_gb(n: int, dimension: int, *, links: int = 32) -> float:
    """GiB of rows and graph: 2 x links neighbors of 4 bytes on the ground level, few above it."""
    return n * (4 * dimension + 8 * links * (1 + 1 / (links - 1))) / GIB


def ivfpq_gb(n: int, dimension: int, *, code_bytes: int = 0, lists: int = 0) -> float:
    """GiB of codes, ids of 8 bytes, and cell centers; the exact rows for rescoring lie on disk."""
    code = code_bytes or dimension // 4
    cells = lists or round(4 * math.sqrt(n))
    return (n * (code + 8) + cells * 4 * dimension) / GIB


def sizing_table(
    dimension: int = 768, rows: tuple[int, ...] = (1_000_000, 10_000_000, 100_000_000)
) -> pd.DataFrame:
    """A row for each number of rows: memory by formula, and compute units as they are published.

    Published capacities are of 768 dimensions and scaled by the length of a row.

    Examples
    --------
    >>> sizing_table()["flat, GiB"].round(1).tolist()
    [2.9, 28.6, 286.1]
    """
    if dimension < 2 or not rows or min(rows) < 1:
        raise ValueError(f"dimension {dimension}, rows {rows}: give at least 2 and 1")
    lines = []
    for n in rows:
        line = {
            "rows": f"{n:,}",
            "flat, GiB": raw_gb(n, dimension),
            "HNSW, GiB": hnsw_gb(n, dimension),
            "IVF-PQ, GiB": ivfpq_gb(n, dimension),
        }
        for tier in TIERS:
            units = n / 1e6 * dimension / 768 / tier.millions
            line[f"units, {tier.name}"] = max(1, math.ceil(units))
        lines.append(line)
    return pd.DataFrame(lines).set_index("rows")
