"""Parquet shards of an embedded corpus: each is whole, and vouched for by its checksum, or redone.

A folder holds ``corpus.json`` (the plan: what is embedded by what, in which order), and for every
shard ``part-00000.parquet`` and ``part-00000.json``. The second is written last: a shard without it
was never finished.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.first.retrieval.space import Space
from helpers.repro import canonical_json, hash_of, sha256_file
from helpers.store.zones import write_file_atomically

PLAN, SCHEMA = "corpus.json", 1


class CorpusRefused(ValueError):
    """Shards that are damaged, of another plan, or that cannot be made."""


@dataclass(frozen=True)
class Plan:
    """What a folder of shards is to hold.

    Attributes
    ----------
    space : Space
    precision : str
        ``fp32`` or ``bf16``.
    n : int
        How many pictures.
    ids : str
        A hash of their ids, in their order.
    inputs : str
        The fingerprint of where the pictures come from; empty if nobody gave one.
    shard_rows : int
        Pictures a shard.
    """

    space: Space
    precision: str
    n: int
    ids: str
    inputs: str
    shard_rows: int

    @property
    def n_shards(self) -> int:
        """How many shards the corpus fills."""
        return -(-self.n // self.shard_rows)

    def rows(self, shard: int) -> range:
        """The positions of a shard's pictures in the corpus."""
        return range(shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.n))


@dataclass(frozen=True, eq=False)
class Shard:
    """Ids, rows (NaN where a picture failed) and reasons (empty where it did not)."""

    ids: list[str]
    rows: np.ndarray
    reasons: list[str]


def agree_on_plan(folder: Path, plan: Plan) -> None:
    """Write the plan into a new folder, or hold it against the one that is there.

    Raises
    ------
    CorpusRefused
        If the folder holds shards of another plan, or files of no plan.
    """
    if not (folder / PLAN).is_file():
        if strange := sorted(folder.glob("part-*")):
            raise CorpusRefused(
                f"{strange[0]} lies in {folder} without {PLAN}: nobody knows what it holds; move "
                "it away, or use another folder"
            )
        write_file_atomically(folder / PLAN, canonical_json(_plan_record(plan)).encode())
        return
    there, wanted = read_plan(folder), asdict(plan)
    differ = [name for name, value in asdict(there).items() if value != wanted[name]]
    if differ:
        shown = ", ".join(f"{n} ({asdict(there)[n]!r}, not {wanted[n]!r})" for n in differ)
        raise CorpusRefused(
            f"{folder} holds another corpus: {shown}; delete the folder, or use another one"
        )


def read_plan(folder: Path) -> Plan:
    """The plan of a folder. Raises ``CorpusRefused`` if there is none that can be read."""
    path = folder / PLAN
    if not path.is_file():
        raise CorpusRefused(f"{path} is missing: embed the corpus into this folder first")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("schema") != SCHEMA:
            raise ValueError("of another schema")
        return Plan(**{**record, "space": Space(**record["space"])})
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusRefused(f"{path} is no plan ({error}): delete the folder and embed it again") \
            from error  # fmt: skip


def write_shard(folder: Path, plan: Plan, number: int, shard: Shard) -> None:
    """Write a shard and then its checksum; a kill leaves the one before, or none."""
    import pyarrow as pa
    from pyarrow import parquet

    failed = np.array([bool(reason) for reason in shard.reasons])
    flat = pa.array(np.ascontiguousarray(shard.rows, np.float32).reshape(-1))
    table = pa.table(
        {
            "id": pa.array(shard.ids, pa.string()),
            "row": pa.FixedSizeListArray.from_arrays(
                flat, plan.space.dimension, mask=pa.array(failed)
            ),
            "reason": pa.array([reason or None for reason in shard.reasons], pa.string()),
        }
    )
    stream = io.BytesIO()
    parquet.write_table(table, stream, compression="none", use_dictionary=False)
    data, record = _names(folder, number)
    record.unlink(missing_ok=True)
    write_file_atomically(data, stream.getvalue())
    said = {
        "schema": SCHEMA, "plan": hash_of(_plan_record(plan)), "sha256": sha256_file(data),
        "rows": len(shard.ids), "failed": int(failed.sum()),
    }  # fmt: skip
    write_file_atomically(record, canonical_json(said).encode())


def shard_state(folder: Path, plan: Plan, number: int) -> str:
    """``done``, ``missing``, or ``damaged``: the last where bytes and checksum do not fit."""
    data, record = _names(folder, number)
    if not record.is_file() or not data.is_file():
        return "missing"
    try:
        said = json.loads(record.read_text(encoding="utf-8"))
        whole = said["sha256"] == sha256_file(data) and said["plan"] == hash_of(_plan_record(plan))
        return "done" if whole and said["rows"] == len(plan.rows(number)) else "damaged"
    except (ValueError, KeyError, TypeError):
        return "damaged"


def read_shard(folder: Path, plan: Plan, number: int) -> Shard:
    """A shard, its checksum first.

    Raises
    ------
    CorpusRefused
        If it is missing or damaged.
    """
    from pyarrow import parquet

    state = shard_state(folder, plan, number)
    data = _names(folder, number)[0]
    if state != "done":
        raise CorpusRefused(f"{data} is {state}: embed the corpus again, only this part is redone")
    table = parquet.read_table(data)
    reasons = [reason or "" for reason in table["reason"].to_pylist()]
    kept = table["row"].combine_chunks()
    rows = np.full((len(reasons), plan.space.dimension), np.nan, np.float32)
    good = np.array([not reason for reason in reasons], bool)
    rows[good] = kept.flatten().to_numpy().reshape(-1, plan.space.dimension)
    return Shard(table["id"].to_pylist(), rows, reasons)


def plan_of(
    space: Space, ids: Sequence[str], *, precision: str, inputs: str, shard_rows: int
) -> Plan:
    """The plan of a corpus.

    Raises
    ------
    CorpusRefused
        If there are no ids, an id is no string or is there twice, or a shard would have no row.
    """
    if strange := [i for i in ids if not isinstance(i, str)]:
        raise CorpusRefused(f"id {strange[0]!r} is no string: '007' and 7 would be one")
    if not len(ids):
        raise CorpusRefused("no ids: name at least one picture to embed")
    if len(set(ids)) != len(ids):
        seen: set[str] = set()
        twice = next(i for i in ids if i in seen or seen.add(i))
        raise CorpusRefused(f"id {twice!r} is there twice: ids name one picture each")
    if shard_rows < 1:
        raise CorpusRefused(f"shard_rows is {shard_rows}: a shard holds at least one row")
    return Plan(space, precision, len(ids), hash_of(list(ids), digits=32), inputs, shard_rows)


def _plan_record(plan: Plan) -> Mapping[str, Any]:
    return {"schema": SCHEMA, **asdict(plan)}


def _names(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"part-{number:05d}.parquet", folder / f"part-{number:05d}.json"
