"""From a source of instance classes to pairs: pictures split within classes, queries written."""

from dataclasses import dataclass

from helpers.data.pairs import ensure_pairs
from helpers.data.trusted import read_trusted_recipes
from helpers.first.data.instances import (
    Instances,
    ensure_instances,
    source_of_cars,
    texts_of_queries,
)
from helpers.first.prepare.queries import CarFacts, Judge, QueryWriter, Written, facts_of
from helpers.first.prepare.query_store import ensure_queries
from helpers.store.zones import Zone

PARTS = ("make", "model", "body", "year")


@dataclass(frozen=True)
class Asked:
    """Instance classes with the queries that were written for them."""

    instances: Instances
    facts: tuple[CarFacts, ...]
    written: Written


def ensure_asked(
    zone: Zone,
    *,
    source: str,
    n_queries: int = 8,
    image_px: int = 512,
    fit: str = "crop",
    max_recipes: int = 0,
    seed: int = 42,
    writer: QueryWriter | None = None,
    judge: Judge | None = None,
    progress: bool = True,
) -> Asked:
    """The pairs of a source of cars, built where they are not there yet.

    Parameters
    ----------
    zone : Zone
    source : str
        ``world:garage``, a folder of Stanford Cars, or any other source whose records have the
        attributes make, model, year and, where there is one, body.
    n_queries : int
        Queries a class.
    image_px, fit, max_recipes, seed
        See :func:`helpers.data.pairs.ensure_pairs`.
    writer, judge
        See :func:`helpers.first.prepare.queries.write_queries`.

    Raises
    ------
    ValueError
        If a record lacks an attribute.

    Examples
    --------
    >>> asked = ensure_asked(zone, source="world:garage", max_recipes=48)  # doctest: +SKIP
    """
    pairs = ensure_pairs(
        zone, source=source_of_cars(source), image_px=image_px, fit=fit, max_recipes=max_recipes,
        seed=seed, split_used=False, progress=progress,
    )  # fmt: skip
    rows = []
    for recipe in read_trusted_recipes(zone):
        known = {name: recipe.attributes.get(name, "") for name in PARTS}
        if lacking := [name for name in ("make", "model", "year") if not known[name]]:
            raise ValueError(
                f"{source}: record {recipe.recipe_id!r} has no attribute {lacking[0]!r}; queries "
                "are written from make, model, body and year"
            )
        rows.append({"recipe_id": recipe.recipe_id, **known})
    facts = facts_of(rows)
    written = ensure_queries(zone, facts, writer, judge, n=n_queries, seed=seed, progress=progress)
    texts = texts_of_queries(written.queries)
    return Asked(ensure_instances(pairs, texts, seed=seed), tuple(facts), written)
