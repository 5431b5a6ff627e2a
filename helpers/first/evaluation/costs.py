"""What work costs, from a measured rate and the price of an hour: no rate or price is assumed."""

import math
from dataclasses import dataclass

HOUR_S = 3600


@dataclass(frozen=True)
class Cost:
    """Hours of one machine, and what they cost in the unit of the hourly price."""

    hours: float
    price: float


def cost_of(n: float, *, per_second: float, hourly_price: float) -> Cost:
    """What ``n`` items cost on a machine that was measured to do ``per_second`` of them.

    Parameters
    ----------
    n : float
        Items: images to embed, queries to answer.
    per_second : float
        Measured, with the machine kept busy: an idle machine costs the same and does less.
    hourly_price : float
        Of that machine, in any currency.

    Raises
    ------
    ValueError
        If a number is not finite, negative, or the rate is 0.

    Examples
    --------
    >>> cost_of(3_600_000, per_second=1000, hourly_price=2.0)
    Cost(hours=1.0, price=2.0)
    """
    numbers = {"n": n, "per_second": per_second, "hourly_price": hourly_price}
    for name, value in numbers.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value}: give a finite number, 0 or more")
    if per_second == 0:
        raise ValueError("per_second is 0: measure a rate first")
    hours = n / per_second / HOUR_S
    return Cost(hours, hours * hourly_price)


def chained_rate(*per_second: float) -> float:
    """The rate of items that go through several steps one after the other on one machine.

    >>> chained_rate(100.0, 100.0)
    50.0
    """
    if not per_second or not all(math.isfinite(r) and r > 0 for r in per_second):
        raise ValueError(f"rates {per_second}: give at least one, each finite and above 0")
    return 1 / sum(1 / rate for rate in per_second)


def flat_index_mb(n: int, dimension: int, *, bytes_each: int = 4) -> float:
    """MiB of an index that keeps every row as it is.

    >>> flat_index_mb(1_000_000, 512)
    1953.125
    """
    if n < 0 or dimension < 1 or bytes_each < 1:
        raise ValueError(f"n {n}, dimension {dimension}, bytes_each {bytes_each}: too small")
    return n * dimension * bytes_each / 2**20
