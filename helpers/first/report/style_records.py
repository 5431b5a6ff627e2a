"""The numbers of the distribution study as records, and back: a committed study is drawn again."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.first.evaluation.claims import Judged, judge_claims
from helpers.first.evaluation.comparison import Comparison
from helpers.first.report.results import Record, placed, within
from helpers.first.report.studies import MINUS, P_UNIT
from helpers.first.studies.mixes import Mix
from helpers.first.studies.mixtures import WORTH_COLUMNS, Exchange, rate_interval, worths_tried
from helpers.first.studies.pixels import UNITS
from helpers.first.studies.style_claims import ATTENTION, CLAIMS
from helpers.first.studies.style_gap import Crossing

LABEL = re.compile(
    r"(?:(?P<real>[\d.]+) % real)?(?: \+ )?(?:(?P<synthetic>[\d.]+) % synthetic)?"
    r"(?:, gap (?P<gap>[\d.]+))?(?P<marked>, watermarked)?"
)
WORTH, SLOPE = "worth of a synthetic picture", "gain by twice the real pictures"
ENDS, ALWAYS = "gap at which synthetic pictures stop helping", "helpful at every gap, of resamples"
GAPS = {
    "auc": "AUC of a linear probe",
    "centroid_ratio": "centroid distance over spread",
    "mmd": "squared MMD",
    "twin_distance": "distance of twins",
}
EVERY_CLAIM = (*(claim for claim, _, _ in CLAIMS), ATTENTION)
WORTH_UNIT, GAP_UNIT = "real pictures", "style gap"


def mix_of(label: str) -> Mix:
    """The mix that a label names: the inverse of ``Mix.label``.

    Raises
    ------
    ValueError
        If it names none.

    >>> mix_of("25 % real + 75 % synthetic, gap 0.5").style_gap
    0.5
    """
    found = LABEL.fullmatch(label)
    if not found or not (found["real"] or found["synthetic"]):
        raise ValueError(f"{label!r} names no mix, such as '25 % real + 75 % synthetic, gap 0.5'")
    shares = (float(found[name] or 0) / 100 for name in ("real", "synthetic"))
    return Mix(*shares, style_gap=float(found["gap"] or 1), watermark=bool(found["marked"]))


def score_records(frame: pd.DataFrame, metric: str, **about) -> list[Record]:
    """A record a row of :func:`helpers.first.studies.scores.score_frame`.

    ``about`` holds ``lesson, run, data, seed`` and, if it is known, ``n``.
    """
    return [
        Record(model=row.label, direction=row.direction, metric=metric, split="test",
               value=row.value, low=row.low, high=row.high, **about)
        for row in frame.itertuples()
    ]  # fmt: skip


def score_frame_of(records: Iterable[Record], metric: str) -> pd.DataFrame:
    """The frame that :func:`score_records` was given; records of anything else are left out."""
    rows = [
        {"label": r.model, **vars(mix_of(r.model)), "direction": r.direction, "value": r.value,
         "low": r.low, "high": r.high}
        for r in records
        if r.metric == metric and LABEL.fullmatch(r.model)
    ]  # fmt: skip
    columns = ["label", "real", "synthetic", "style_gap", "watermark", "direction", "value", "low"]
    return pd.DataFrame(rows, columns=[*columns, "high"])


def curve_records(curve: pd.DataFrame, metric: str, **about) -> list[Record]:
    """A record a row of :func:`helpers.first.studies.style_gap.gap_curve`."""
    return [
        Record(model=f"gap {row.gap:g}", direction=row.direction, metric=f"gain in {metric}",
               split="test", value=row.value, low=row.low, high=row.high, **about)
        for row in curve.itertuples()
    ]  # fmt: skip


def curve_of(records: Iterable[Record], metric: str) -> pd.DataFrame:
    """The curve that :func:`curve_records` was given."""
    rows = [
        (float(r.model.removeprefix("gap ")), r.direction, r.value, r.low, r.high)
        for r in records
        if r.metric == f"gain in {metric}"
    ]
    return pd.DataFrame(rows, columns=["gap", "direction", "value", "low", "high"])


def exchange_records(
    found: Exchange, direction: str = "", *, regime: str = "", **about
) -> list[Record]:
    """Worth and slope; the rate follows from the worth, and may be infinite.

    ``regime`` tells one way of training from another, such as ``no LoRA in the text layers``.
    """
    about = {"model": _all("mixtures", regime), "split": "test", "direction": direction, **about}
    least, most = found.limits
    worth = within(found.worth, found.worth_low, found.worth_high, least=least, most=most)
    return [
        Record(metric=WORTH, unit=WORTH_UNIT, **worth, **about),
        Record(metric=SLOPE, value=found.slope, low=found.slope_low, high=found.slope_high,
               **about),
    ]  # fmt: skip


def exchange_of(
    records: Iterable[Record], direction: str = "", *, regime: str = ""
) -> Exchange | None:
    """The exchange that :func:`exchange_records` was given; None where there is none."""
    records = list(records)
    found = _of(records, _all("mixtures", regime), direction)
    if WORTH not in found or SLOPE not in found:
        return None
    worth, slope = found[WORTH], found[SLOPE]
    limits = _limits(records)
    value, low, high = (min(max(v, limits[0]), limits[1]) for v in placed(worth))
    rate = rate_interval(value, value)[0]
    return Exchange(
        value,
        low,
        high,
        rate,
        *rate_interval(low, high),
        slope.value,
        slope.low,
        slope.high,
        limits,
    )


def _limits(records: Iterable[Record]) -> tuple[float, float]:
    """The least and the greatest worth that were tried with the mixes of some records."""
    mixes = [mix_of(r.model) for r in records if LABEL.fullmatch(r.model)]
    real, synthetic = (np.array([getattr(m, n) for m in mixes]) for n in ("real", "synthetic"))
    both = (real > 0) & (synthetic > 0) if mixes else np.zeros(0, bool)
    if not both.any():
        return -math.inf, math.inf
    tried = worths_tried(real[both], synthetic[both])
    return float(tried[0]), float(tried[-1])


def worth_records(found: pd.DataFrame, *, regime: str = "", **about) -> list[Record]:
    """A record a row of :func:`helpers.first.studies.mixtures.worth_by_arm`; outside is a flag."""
    about = {"metric": _own(regime), "unit": WORTH_UNIT, "split": "test", "direction": ""} | about
    return [
        Record(model=row.label, **within(row.worth, row.low, row.high), **about)
        for row in found.itertuples()
    ]


def worths_of(records: Iterable[Record], *, regime: str = "") -> pd.DataFrame:
    """The worths that :func:`worth_records` was given; what was flagged is infinite again."""
    records, rows = list(records), []
    mixes = [mix_of(r.model) for r in records if LABEL.fullmatch(r.model)]
    alone = [mix.real for mix in mixes if not mix.synthetic and not mix.watermark]
    for r in (one for one in records if one.metric == _own(regime)):
        mix = mix_of(r.model)
        least, most = ((end - mix.real) / mix.synthetic for end in (min(alone), max(alone)))
        rows.append((mix.label, mix.real, mix.synthetic, *placed(r), least, most))
    return pd.DataFrame(rows, columns=WORTH_COLUMNS)


def _own(regime: str) -> str:
    return f"{WORTH}, by its arm alone" + (f", {regime}" if regime else "")


def crossing_records(
    found: Crossing, direction: str = "", *, regime: str = "", **about
) -> list[Record]:
    """Where help ends, and how often it does not; beyond the largest gap is a flag."""
    about = {"model": _all("gaps", regime), "split": "test", "direction": direction, **about}
    return [
        Record(metric=ENDS, unit=GAP_UNIT, **within(found.gap, found.low, found.high), **about),
        Record(metric=ALWAYS, value=found.always, **about),
    ]


def crossing_of(
    records: Iterable[Record], direction: str = "", *, regime: str = ""
) -> Crossing | None:
    """The crossing behind some records; what was flagged is infinite again."""
    records = list(records)
    found = _of(records, _all("gaps", regime), direction)
    if ENDS not in found or ALWAYS not in found:
        return None
    end, always = found[ENDS], found[ALWAYS].value
    largest = max(
        (float(r.model.removeprefix("gap ")) for r in records if r.metric.startswith("gain in ")),
        default=1.0,
    )
    return Crossing(*placed(end), always, 0.0, largest)


def _all(what: str, regime: str) -> str:
    return f"all {what}" + (f", {regime}" if regime else "")


def _of(records: Iterable[Record], model: str, direction: str) -> dict[str, Record]:
    return {r.metric: r for r in records if (r.model, r.direction) == (model, direction)}


def gap_records(frame: pd.DataFrame, **about) -> list[Record]:
    """The mean over runs of every measure of the gap, by arm and epoch.

    ``about`` holds ``n``, the scenes that were followed in both looks, beside what all records have.
    """
    means = frame.groupby(["arm", "epoch"], sort=False)[list(GAPS)].mean().reset_index()
    about = {"direction": "", "split": "test", **about}
    return [
        Record(model=row["arm"], metric=f"{name}, epoch {row['epoch']}",
               value=row[column], unit="fraction" if column == "auc" else "ratio", **about)
        for row in means.to_dict("records")
        for column, name in GAPS.items()
    ]  # fmt: skip


def gap_frame_of(records: Iterable[Record]) -> pd.DataFrame:
    """The means that :func:`gap_records` wrote, as ``gap_plot`` takes them."""
    columns = {name: column for column, name in GAPS.items()}
    rows: dict[tuple[str, int], dict] = {}
    for r in records:
        name, _, epoch = r.metric.rpartition(", epoch ")
        if name in columns:
            row = rows.setdefault((r.model, int(epoch)), {"arm": r.model, "run": 0})
            row.update({"epoch": int(epoch), columns[name]: r.value})
    return pd.DataFrame(list(rows.values()), columns=["arm", "run", "epoch", *GAPS])


def judged_of(records: Sequence[Record]) -> list[Judged]:
    """The claims of a committed study judged again, from their differences and p-values.

    Records of claims that this version does not make are left out: see :func:`claims_without`.
    """
    claims = {claim.name: claim for claim in EVERY_CLAIM}
    mine = [
        r for r in records
        if r.model.removeprefix("claim: ") in claims and MINUS in r.metric
    ]  # fmt: skip
    p_values: Mapping = {(r.model, r.metric): r.value for r in mine if r.unit == P_UNIT}
    pairs = [
        (
            claims[r.model.removeprefix("claim: ")],
            Comparison(r.value, r.low, r.high, p_values[r.model, f"p of {r.metric}"], r.n, 0,
                       float("nan"), ""),
        )
        for r in mine
        if r.unit != P_UNIT
    ]  # fmt: skip
    return judge_claims(pairs)


def claims_without(records: Iterable[Record]) -> list[str]:
    """The names of the claims on which a committed study says nothing."""
    there = {r.model for r in records}
    return [claim.name for claim in EVERY_CLAIM if f"claim: {claim.name}" not in there]


def side_records(compared: pd.DataFrame, layers: pd.DataFrame, **about) -> list[Record]:
    """Pixels and embeddings of two sets of pictures before training.

    Parameters
    ----------
    compared : DataFrame
        Of :func:`helpers.first.studies.pixels.compare_statistics`.
    layers : DataFrame
        Of :func:`helpers.first.studies.embedding_gap.gap_by_layer`.
    """
    about = {"model": "before training", "split": "", "direction": "", **about}
    records = []
    for row in compared.itertuples():
        name, n = row.statistic.replace("_", " "), row.n_a + row.n_b
        records += [
            Record(metric=f"{name}, real less synthetic", value=row.difference, low=row.low,
                   high=row.high, unit=UNITS[row.statistic], n=n, **about),
            Record(metric=f"Cliff's delta of {name}", value=row.effect_size, unit="delta", n=n,
                   **about),
        ]  # fmt: skip
    for row in layers.itertuples():
        records += [
            Record(metric=f"AUC of a linear probe, {row.layer}", value=row.auc, low=row.auc_low,
                   high=row.auc_high, n=row.n_a + row.n_b, **about),
            Record(metric=f"centroid distance over spread, {row.layer}", value=row.centroid_ratio,
                   unit="ratio", n=row.n_a + row.n_b, **about),
        ]  # fmt: skip
    return records


def share_records(spread: pd.DataFrame, **about) -> list[Record]:
    """Shares of the attention of arms (named in ``pictures``) on each region by epoch.

    Parameters
    ----------
    spread : DataFrame
        Of :func:`helpers.first.studies.attention.share_intervals`; ``n`` counts the pictures.
    """
    return [
        Record(model=row.pictures, split="test", direction="", value=row.share, low=row.low,
               high=row.high, n=row.n,
               metric=f"attention ({row.kind}) on the {row.region}, epoch {row.checkpoint}",
               **about)
        for row in spread.itertuples()
    ]  # fmt: skip
