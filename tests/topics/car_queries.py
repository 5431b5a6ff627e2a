"""Queries about cars with labels, good and bad: templates filled with the facts of many cars.

Written before any guardrail. The templates of ``dev`` are to develop with, those of ``held`` are to
judge with, once; the two share none. The cars are chosen for names that look like something else:
a color (Silverado), a place (California, Canyon), a part (Neon), or a plain word (Leaf, Edge).
"""

import csv
from dataclasses import dataclass
from pathlib import Path

REFERENCE = Path(__file__).parent / "reference"
# make, model, body, year; another make, another model of the make, another body, another year
CARS = {
    "dev": (
        ("Chevrolet", "Silverado 1500", "Crew Cab", "2012", "Ford", "Camaro", "Coupe", "2007"),
        ("Ferrari", "California", "Convertible", "2012", "Audi", "458 Italia", "Sedan", "1998"),
        ("Nissan", "Leaf", "Hatchback", "2012", "Tesla", "Juke", "Wagon", "2001"),
        ("GMC", "Canyon", "Extended Cab", "2012", "Dodge", "Yukon", "SUV", "2005"),
        ("Land Rover", "Range Rover", "SUV", "2012", "Jeep", "LR2", "Minivan", "1993"),
        ("Mercedes-Benz", "E-Class", "Sedan", "2012", "BMW", "S-Class", "Hatchback", "2002"),
        ("Galvin", "Metro", "wagon", "2004", "Elkins", "Plaza", "pickup", "1994"),
        ("Hoshino", "Sora", "coupe", "2014", "Ivers", "Umi", "van", "2004"),
    ),
    "held": (
        ("Plymouth", "Neon", "Coupe", "1999", "Geo", "Prowler", "Sedan", "2010"),
        ("Ford", "Edge", "SUV", "2012", "Mazda", "Mustang", "Convertible", "2004"),
        ("Aston Martin", "V8 Vantage", "Coupe", "2012", "Jaguar", "Virage", "Sedan", "2001"),
        ("Hyundai", "Santa Fe", "SUV", "2012", "Suzuki", "Sonata", "Coupe", "2003"),
        ("Volkswagen", "Golf", "Hatchback", "1991", "Volvo", "Beetle", "SUV", "2012"),
        ("BMW", "3 Series", "Wagon", "2012", "Acura", "X5", "Convertible", "2006"),
        ("Arvano", "Sierra", "hatchback", "1994", "Dorsey", "Lido", "van", "2014"),
        ("Corvane", "Kite", "SUV", "2014", "Belmark", "Heron", "sedan", "1994"),
    ),
}
SHORT = {
    "Convertible": "conv", "Hatchback": "hatch", "Sedan": "sdn", "Coupe": "cpe", "Crew Cab": "crew",
    "Extended Cab": "ext cab", "wagon": "wgn",
}  # fmt: skip


@dataclass(frozen=True)
class Labeled:
    """A query, whether it may pass, its kind, and the facts of the car that it is about."""

    text: str
    good: bool
    kind: str
    template: str
    facts: dict[str, str]


def labeled_queries(half: str) -> list[Labeled]:
    """Every template of a half with every car of it; a template that says nothing new once."""
    with (REFERENCE / f"car_queries_{half}.csv").open(newline="", encoding="utf-8") as file:
        templates = list(csv.DictReader(file))
    found = {}
    for entry in templates:
        for car in CARS[half]:
            text = entry["template"].format(**_words(car)).replace("\\n", "\n")
            facts = dict(zip(("make", "model", "body", "year"), car[:4], strict=True))
            one = Labeled(text, entry["label"] == "good", entry["kind"], entry["template"], facts)
            found.setdefault((text, car[0] if "{" in entry["template"] else ""), one)
    return list(found.values())


def _words(car: tuple[str, ...]) -> dict[str, str]:
    make, model, body, year, other_make, other_model, other_body, wrong_year = car
    return {
        "make": make, "model": model, "body": body, "year": year, "yy": year[2:],
        "lower_make": make.lower(), "lower_model": model.lower(), "lower_body": body.lower(),
        "upper_make": make.upper(), "upper_model": model.upper(),
        "short_body": SHORT.get(body, body.lower()),
        "make_typo": _swapped(make), "model_typo": _dropped(model),
        "other_make": other_make, "other_model": other_model, "other_body": other_body.lower(),
        "wrong_year": wrong_year, "wrong_yy": wrong_year[2:],
        "wrong_decade": f"{wrong_year[:3]}0s",
    }  # fmt: skip


def _swapped(name: str) -> str:
    """Two letters in the middle change places: "Ferrari" -> "Ferarri"."""
    middle = len(name) // 2
    return name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :]


def _dropped(name: str) -> str:
    """The third letter left out, where the name is long enough to be known by the rest."""
    return name if len(name) < 5 else name[:2] + name[3:]
