"""What the literature reports on written triplets and two hops, held against what was measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.first.evaluation.claims import Claim, Judged, judge_claims
from helpers.first.evaluation.comparison import Comparison
from helpers.first.report.claims import claims_table
from helpers.first.report.results import Record
from helpers.first.report.studies import MINUS, P_UNIT

SOURCE = "MTST and PTHA, FashionIQ and CIRR"


@dataclass(frozen=True)
class Reported:
    """A claim, what was reported for it, and which comparison of ours speaks of it.

    Attributes
    ----------
    claim : Claim
    reported : str
        In points of the papers' own metrics.
    model, than : str
        Of the comparison.
    metric : str
    part : str
        The end of the record's ``data``; empty: no part of it.
    """

    claim: Claim
    reported: str
    model: str
    than: str
    metric: str = "hit@10"
    part: str = ""


def _pretraining(model: str, name: str, gain: str) -> Reported:
    return Reported(
        Claim(f"pretraining {model}", f"Pretraining on written triplets helps {name}.", SOURCE),
        gain, f"{model}, pretrained", "none", part="100 % annotated",
    )  # fmt: skip


CLAIMS: tuple[Reported, ...] = (
    _pretraining("TIRG", "TIRG", "+13.65"),
    _pretraining("ARTEMIS", "ARTEMIS", "+14.26"),
    _pretraining("combiner", "CLIP4CIR's combiner", "+1.77"),
    _pretraining("SPRC", "SPRC", "+1.15"),
    Reported(
        Claim("all of it", "Two hops with pretraining beat SPRC without.", SOURCE),
        "+2.39 on CIRR, +1.57 on FashionIQ", "two-hop, pretrained", "SPRC",
    ),
    Reported(
        Claim("two hops", "Two hops beat one at equal parameters and steps.", SOURCE),
        "in the papers' ablation", "two-hop", "SPRC",
    ),
    Reported(
        Claim("weight 0.5", "A pull of 0.5 to the reverse side beats none.", SOURCE),
        "0.5 was found best", "weight 0.5", "weight 0",
    ),
    Reported(
        Claim("texts from pairs", "Texts from two pictures beat texts from captions.", SOURCE),
        "better", "texts from pairs", "texts from captions",
    ),
    Reported(
        Claim("ROUGE-1", "A generator is nearer to people's words than a difference of captions.",
              SOURCE),
        "0.248 against 0.210", "texts: generator", "texts: captions", metric="rouge_1",
    ),
    Reported(
        Claim("METEOR", "The same by METEOR.", SOURCE),
        "0.194 against 0.186", "texts: generator", "texts: captions", metric="meteor",
    ),
)  # fmt: skip


def judge_records(records: Iterable[Record], claims: Sequence[Reported] = CLAIMS) -> list[Judged]:
    """Every claim that the records speak of, judged as one family.

    Raises
    ------
    ValueError
        If a difference has no p-value, or two records speak of one claim.
    """
    records = list(records)
    tests = {(r.model, r.data, r.metric): r.value for r in records if r.unit == P_UNIT}
    pairs = []
    for one in claims:
        metric = f"{one.metric}{MINUS}{one.than}"
        found = [
            r for r in records
            if (r.model, r.metric) == (one.model, metric) and r.data.endswith(one.part)
        ]  # fmt: skip
        if len(found) > 1:
            raise ValueError(
                f"claim {one.claim.name!r}: {len(found)} records speak of it "
                f"({[r.data for r in found]}); give those of one run"
            )
        for r in found:
            if (key := (r.model, r.data, f"p of {metric}")) not in tests:
                raise ValueError(f"no p-value among the records for {key}")
            low, high = (np.nan if end is None else end for end in (r.low, r.high))
            seen = Comparison(r.value, low, high, tests[key], r.n, 0, np.nan, "")
            pairs.append((one.claim, seen))
    return judge_claims(pairs)


def table_of(judged: Sequence[Judged]) -> pd.DataFrame:
    """A row a claim: the reported gain beside the measured one, in points, and the verdict."""
    known = {one.claim.name: one.reported for one in CLAIMS}
    reported = {one.claim.name: known[one.claim.name] for one in judged}
    table = claims_table(judged, reported=reported)
    return table.drop(columns=["source", "could have shown"])


def not_judged(judged: Sequence[Judged]) -> list[str]:
    """The names of claims that this run has nothing to say about."""
    said = {one.claim.name for one in judged}
    return [one.claim.name for one in CLAIMS if one.claim.name not in said]
