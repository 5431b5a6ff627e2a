"""A database under fire: threads that write while others search; then everything is counted."""

import threading
from dataclasses import dataclass, field

import numpy as np

from helpers.first.retrieval.space import Space
from helpers.first.retrieval.vector_index import Store


def unit(n: int, seed: int, d: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def space_of(d: int) -> Space:
    return Space("small", "0123456789abcdef", "fedcba", d)


@dataclass
class Seen:
    """What the searching threads saw."""

    searches: int = 0
    lost: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def upserts_while_searching(store: Store, n: int, *, d: int, batch: int, writers: int = 2) -> Seen:
    """``n`` rows twice: all are written, then all replaced, while settled rows are searched for.

    A settled row is one that was there before and is not written again: every search of it has to
    give it back. In the end every id has its last row, and no other id is there.
    """
    settled = [f"s{i:03d}" for i in range(50)]
    anchors = unit(50, 1, d)
    store.upsert(settled, anchors)
    names = [f"{i:06d}" for i in range(n)]
    last = unit(n, 3, d)
    seen, begun, done = Seen(), threading.Event(), threading.Event()

    def guarded(work) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (a thread's fault is the finding)
            seen.errors.append(repr(error))

    def write(part: slice) -> None:
        for rows in (unit(n, 2, d), last):
            for start in range(part.start, part.stop, batch):
                some = slice(start, min(start + batch, part.stop))
                store.upsert(names[some], rows[some])

    def search() -> None:
        turn = 0
        while not done.is_set():
            which = [turn % 50, (turn + 7) % 50]
            found = store.nearest(anchors[which], 1).ids[:, 0].tolist()
            wanted = [settled[i] for i in which]
            seen.lost += [w for w, f in zip(wanted, found, strict=True) if w != f]
            seen.searches += 1
            begun.set()
            turn += 1

    step = -(-n // writers)
    parts = [slice(s, min(s + step, n)) for s in range(0, n, step)]
    threads = [threading.Thread(target=guarded, args=(lambda p=p: write(p),)) for p in parts]
    searcher = threading.Thread(target=guarded, args=(search,))
    searcher.start()
    begun.wait(60)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    searcher.join()
    if len(store) != n + 50:
        seen.errors.append(f"{len(store)} rows where {n + 50} were written")
    kept = store.rows_of(names)
    seen.lost += [
        name for name, a, b in zip(names, kept, last, strict=True) if abs(a - b).max() > 1e-6
    ]
    return seen
