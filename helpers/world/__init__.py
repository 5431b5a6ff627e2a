"""The drawn world: the course's embedded data, drawn by rule and described by rule.

``open_world("kitchen", n_recipes=100, seed=42)`` gives a source of recipes like any folder does.
"""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from helpers.world import garage, general, kitchen
from helpers.world.domain import Attributes, Domain
from helpers.world.styles import STYLES
from helpers.world.world import Drawing, World

if TYPE_CHECKING:
    from helpers.world.changes import ComposedWorld

__all__ = [
    "DOMAINS", "STYLES", "Attributes", "Domain", "Drawing", "World", "open_triplets", "open_world",
]  # fmt: skip

DOMAINS: dict[str, Domain] = {d.name: d for d in (general.DOMAIN, kitchen.DOMAIN, garage.DOMAIN)}
OPTIONS = {
    "px": int, "style": str, "style_gap": float, "captions": str, "languages": str, "noise": float,
    "images": int,
}  # fmt: skip
CRAWLED = ("captions", "languages", "noise")


def open_world(domain: str, *, n_recipes: int = 0, seed: int = 42) -> World:
    """The world of a domain, such as ``kitchen`` or ``kitchen?style=diffusion&px=224``.

    Parameters
    ----------
    domain : str
        A name in ``DOMAINS``; after a question mark the options ``px``, ``style``, ``style_gap``,
        ``images`` (how many each recipe has, in the place of the domain's own number);
        ``languages`` (such as ``de,es``), ``noise`` (a share), and ``captions=mixed`` for all five
        languages and half of the captions noisy: these make a ``crawl.CrawledWorld``.
    n_recipes : int
        0: as many as the domain has by default.
    seed : int

    Raises
    ------
    ValueError
        If the domain or an option is unknown.

    Examples
    --------
    >>> open_world("kitchen", n_recipes=3).recipe(0).recipe_id
    'kitchen-00000'
    """
    name, _, query = domain.partition("?")
    if name not in DOMAINS:
        near = difflib.get_close_matches(name, DOMAINS, n=1)
        hint = f"; did you mean 'world:{near[0]}'?" if near else ""
        raise ValueError(f"unknown world 'world:{name}' (there are {', '.join(DOMAINS)}){hint}")
    options = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in OPTIONS:
            raise ValueError(
                f"unknown option {key!r} in 'world:{domain}' (there are {', '.join(OPTIONS)})"
            )
        try:
            options[key] = OPTIONS[key](value)
        except ValueError:
            raise ValueError(
                f"option {key}={value!r} in 'world:{domain}' is not {OPTIONS[key].__name__}"
            ) from None
    found = DOMAINS[name]
    if "images" in options:
        if (n := options.pop("images")) < 1:
            raise ValueError(f"option images={n} in 'world:{domain}': a recipe has at least one")
        found = replace(found, n_images=(n, n + 1))
    if any(key in options for key in CRAWLED):  # by name: its source decides no other world
        from helpers.world import crawl

        return crawl.open_crawled(found, n_recipes or found.n_recipes, seed, **options)
    return World(found, n_recipes or found.n_recipes, seed, **options)


def open_triplets(
    domain: str, parts: Mapping[str, Mapping[str, int]], *, seed: int = 42
) -> "ComposedWorld":
    """Triplets of ``kitchen`` or ``garage``, with their options.

    ``parts`` are what :func:`helpers.world.changes.draw_triplets` takes. Raises ``ValueError`` if
    the domain has none.
    """
    from helpers.world import car_changes, changes  # other worlds stand on neither

    world = open_world(domain, seed=seed)
    if world.domain.name not in ("kitchen", "garage"):
        raise ValueError(
            f"world:{world.domain.name} has no triplets: use world:kitchen or world:garage"
        )
    of_dishes = world.domain.name == "kitchen"
    rules = changes.dish_rules(seed) if of_dishes else car_changes.car_rules()
    return changes.draw_triplets(world, rules, parts, seed=seed)
