"""The garage: model cars on tables. Ten makes x four models x eight bodies x three decades: 960
classes of cars, each with many pictures in any color.

A make is known by its grille and lamps, a model by its wheels, a decade by bumpers, side line and
the size of the wheels. The color belongs to a picture and not to the class: no caption names it.
No pretrained model of the course has seen the garage. The makes and models do not exist elsewhere.
"""

from functools import lru_cache
from itertools import product

import numpy as np

from helpers.world.domain import Attributes, Domain, Scene
from helpers.world.phrases import chance, pick, with_article
from helpers.world.surfaces import COLORS, TABLES
from helpers.world.vehicles import BODIES, WHEELS, Vehicle, paint_vehicle

# make -> (grille, lamps, models); a model's place is its kind of wheels.
MAKES: dict[str, tuple[str, str, tuple[str, str, str, str]]] = {
    "Arvano": ("bars", "round", ("Lido", "Corso", "Sierra", "Monte")),
    "Belmark": ("slats", "square", ("100", "200", "300", "500")),
    "Corvane": ("mesh", "slim", ("Falcon", "Heron", "Swift", "Kite")),
    "Dorsey": ("twin", "double", ("Ranger", "Scout", "Pilot", "Guide")),
    "Elkins": ("plain", "round", ("E1", "E3", "E5", "E7")),
    "Fjordan": ("bars", "slim", ("Nord", "Vest", "Sund", "Fjell")),
    "Galvin": ("slats", "double", ("Metro", "Urban", "Civic Hall", "Plaza")),
    "Hoshino": ("mesh", "square", ("Sora", "Umi", "Kaze", "Yuki")),
    "Ivers": ("twin", "slim", ("Comet", "Nova", "Orbit", "Pulsar")),
    "Jansson": ("plain", "double", ("J20", "J40", "J60", "J80")),
}
YEARS = {"1990s": "1994", "2000s": "2004", "2010s": "2014"}
N_CLASSES = 196
IMAGES = (8, 17)  # at least 8, below 17


@lru_cache(maxsize=8)
def _order(seed: int) -> tuple[tuple[str, str, str, str], ...]:
    """All classes in an order of the seed: a larger garage only adds to a smaller one."""
    classes = [
        (make, model, body, decade)
        for make, (_, _, models) in MAKES.items()
        for model, body, decade in product(models, BODIES, YEARS)
    ]
    order = np.random.default_rng([DOMAIN.key, seed]).permutation(len(classes))
    return tuple(classes[i] for i in order)


def nth(index: int, seed: int) -> Attributes:
    """Class ``index`` of a seed; no two are the same.

    Raises
    ------
    ValueError
        If there are not so many classes.
    """
    order = _order(seed)
    if index >= len(order):
        raise ValueError(
            f"world:garage has {len(order)} classes, and number {index + 1} was asked for: "
            f"set max_recipes to at most {len(order)}"
        )
    make, model, body, decade = order[index]
    return {"make": make, "model": model, "body": body, "year": YEARS[decade], "decade": decade}


def sample(rng: np.random.Generator) -> Attributes:
    """Any class."""
    return nth(int(rng.integers(len(_order(0)))), 0)


def vary(a: Attributes, rng: np.random.Generator) -> Attributes:
    """What a picture adds to its class: a color, a direction and the table that it stands on."""
    extra = {
        "color": pick(rng, tuple(COLORS)),
        "facing": pick(rng, ("left", "right")),
        "table": pick(rng, TABLES),
    }
    return {**a, **extra}


def title(a: Attributes) -> str:
    """Make, model, body and year, as catalogs have it: "Arvano Lido sedan 1994"."""
    return f"{a['make']} {a['model']} {a['body']} {a['year']}"


def captions(a: Attributes, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """Three captions of one class: without the year, with it, and as a sentence."""
    brief = f"{a['make']} {a['model']} {a['body']}"
    standard = f"{a['year']} {brief}" if chance(rng, 0.5) else f"{brief} {a['year']}"
    opening = pick(rng, ("a photo of {}", "{} seen from the side", "{} from the {decade}"))
    detailed = opening.format(with_article(brief), decade=a["decade"])
    if "{decade}" not in opening:
        detailed += f", year {a['year']}"
    return ("brief", brief), ("standard", standard), ("detailed", detailed)


def paint(scene: Scene, a: Attributes) -> None:
    """The car on its wheels."""
    grille, lamps, models = MAKES[a["make"]]
    car = Vehicle(
        body=a["body"],
        grille=grille,
        lamps=lamps,
        wheels=WHEELS[models.index(a["model"])],
        decade=a["decade"],
        color=COLORS[a["color"]],
        facing=1 if a["facing"] == "right" else -1,
    )
    paint_vehicle(scene.pen, scene.mask, car)


DOMAIN = Domain(
    "garage", N_CLASSES, sample, title, captions, paint, n_images=IMAGES, nth=nth, vary=vary
)
