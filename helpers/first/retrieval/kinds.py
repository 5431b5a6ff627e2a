"""Kinds of index and their settings: flat, HNSW and IVF-PQ, as FAISS makes them.

A flat index compares with every row. HNSW walks a graph of near neighbors (Malkov and Yashunin,
2016): fast, exact scores, more memory than the rows. IVF-PQ looks into a few of many cells and
compares codes of a few bytes (Jegou et al., 2011): small, and its scores are estimates.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

NAMES = ("flat", "hnsw", "ivfpq")
LEAST = 16  # rows that the codes of IVF-PQ are learned from


class KindRefused(ValueError):
    """Settings that no index can have."""


@dataclass(frozen=True)
class IndexKind:
    """A kind of index with what is set when it is built and when it is searched.

    Attributes
    ----------
    name : str
        ``flat``, ``hnsw`` or ``ivfpq``.
    links : int
        HNSW: neighbors that a row is linked to (M).
    effort : int
        HNSW: candidates that a search keeps (efSearch).
    lists : int
        IVF-PQ: cells; 0: about four times the root of the number of rows.
    probes : int
        IVF-PQ: cells that a search looks into.
    code_bytes : int
        IVF-PQ: length of a code; 0: a quarter of the dimensions. It has to divide them.
    rescored : int
        How many candidates for each wanted result are scored again with the exact rows; 0: none.
    """

    name: str = "flat"
    links: int = 32
    effort: int = 64
    lists: int = 0
    probes: int = 8
    code_bytes: int = 0
    rescored: int = 4

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise KindRefused(f"unknown kind of index {self.name!r}: use {', '.join(NAMES)}")
        for field in ("links", "effort", "probes"):
            if getattr(self, field) < 1:
                raise KindRefused(f"{field} is {getattr(self, field)}: give 1 or more")
        for field in ("lists", "code_bytes", "rescored"):
            if getattr(self, field) < 0:
                raise KindRefused(f"{field} is {getattr(self, field)}: give 0 or more")

    @property
    def approximate(self) -> bool:
        """Whether the kind's own scores are estimates."""
        return self.name == "ivfpq"

    @property
    def label(self) -> str:
        """A short name with the settings that matter.

        >>> IndexKind("hnsw", effort=32).label
        'HNSW, 32 links, effort 32'
        """
        if self.name == "flat":
            return "flat"
        if self.name == "hnsw":
            return f"HNSW, {self.links} links, effort {self.effort}"
        again = f", x{self.rescored} rescored" if self.rescored else ""
        return f"IVF-PQ, {self.probes} probes{again}"


def make_index(kind: IndexKind, rows: np.ndarray) -> Any:
    """A FAISS index of a kind that holds rows, trained on them where it has to be.

    Parameters
    ----------
    kind : IndexKind
    rows : (n, d) float32, unit rows

    Raises
    ------
    KindRefused
        If the code's length does not divide the dimensions, or there are fewer than 16 rows to
        train IVF-PQ on.
    """
    import faiss

    d = rows.shape[1]
    if kind.name == "flat":
        index = faiss.IndexFlatIP(d)
    elif kind.name == "hnsw":
        index = faiss.index_factory(d, f"HNSW{kind.links},Flat", faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = max(80, 2 * kind.links)
    else:
        index = _trained(kind, rows)
    index.add(rows)
    return index


def _trained(kind: IndexKind, rows: np.ndarray) -> Any:
    import faiss

    n, d = rows.shape
    code = kind.code_bytes or max(m for m in range(1, max(2, d // 4 + 1)) if d % m == 0)
    if d % code:
        raise KindRefused(f"code_bytes is {code}: it has to divide the {d} dimensions of a row")
    if n < LEAST:
        raise KindRefused(f"IVF-PQ learns its codes from the rows: {n} are too few, use flat")
    bits = int(min(8, np.log2(n)))  # a code word cannot be learned from less than a row
    lists = min(kind.lists or max(1, round(4 * n**0.5)), n)
    text = f"IVF{lists},PQ{code}x{bits}"
    index = faiss.index_factory(d, text, faiss.METRIC_INNER_PRODUCT)
    index.do_polysemous_training = False  # seconds of work for a search mode that is not used
    for clustering in (index.cp, index.pq.cp):
        clustering.min_points_per_centroid = 1  # small corpora are asked about too
    index.train(rows)
    return index


def search_parameters(kind: IndexKind, selector: Any = None) -> Any:
    """The settings of one search, for FAISS; ``selector`` says which rows may be found."""
    import faiss

    if kind.name == "hnsw":
        return faiss.SearchParametersHNSW(efSearch=kind.effort, sel=selector)
    if kind.name == "ivfpq":
        return faiss.SearchParametersIVF(nprobe=kind.probes, sel=selector)
    return faiss.SearchParameters(sel=selector)


def index_bytes(index: Any) -> int:
    """The size of a FAISS index, as it is written and as it lies in memory but for small change."""
    import faiss

    return int(faiss.serialize_index(index).size)


def on_gpu(index: Any, kind: IndexKind, faiss: Any = None) -> tuple[Any, str]:
    """A copy of an index on the GPU, where faiss-gpu, a GPU and the kind allow it; else why not.

    Parameters
    ----------
    index : faiss.Index or None
        None where there are no rows yet.
    kind : IndexKind
    faiss : module, optional
        Another build of FAISS than the one that is installed.

    Returns
    -------
    faiss.Index or None, str
        The copy, and where searches run.
    """
    if faiss is None:
        import faiss
    if index is None:
        return None, "cpu: the index is empty"
    if kind.name == "hnsw":
        return None, "cpu: FAISS walks no HNSW graph on a GPU"
    if not hasattr(faiss, "StandardGpuResources"):
        return None, "cpu: this build of FAISS knows no GPU (faiss-gpu does)"
    if faiss.get_num_gpus() < 1:
        return None, "cpu: faiss-gpu is installed and sees no GPU"
    copy = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    if kind.name == "ivfpq":
        copy.nprobe = kind.probes
    return copy, "gpu 0"
