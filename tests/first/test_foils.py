"""Foils differ from the truth in one thing, and the truth is true of the recipe."""

from helpers.data.records import Recipe
from helpers.first.prepare.foils import COUNTS, KINDS, ORDER, attribute_foils
from helpers.world import open_world
from helpers.world.phrases import SINGULAR, WORDS

KITCHEN = {r.recipe_id: r for r in open_world("kitchen", n_recipes=60).recipes()}
GENERAL = {r.recipe_id: r for r in open_world("general", n_recipes=80).recipes()}


def holds(text: str, attribute: str, value: str) -> bool:
    words = (value,) if attribute == "plate" else WORDS[attribute][value]
    return any(word in text or SINGULAR.get(word, word) in text for word in words)


def test_the_truth_names_the_recipes_value_and_the_foil_another():
    frame = attribute_foils(KITCHEN.values())
    back = {kind: name for name, kind in KINDS.items()}
    asked = frame[frame["kind"].isin(back)]
    assert set(asked["kind"]) == set(back)
    for row in asked.itertuples():
        name = back[row.kind]
        value = KITCHEN[row.recipe_id].attributes[name]
        assert holds(row.truth, name, value), row
        differ = set(row.truth.split()) ^ set(row.foil.split())
        assert differ, row
        assert row.image_key == KITCHEN[row.recipe_id].images[0]


def test_truth_and_foil_are_alike_but_for_one_phrase():
    frame = attribute_foils(KITCHEN.values())
    for row in frame[frame["kind"] == "color"].itertuples():
        plate = KITCHEN[row.recipe_id].attributes["plate"]
        truth, foil = (t.replace(" an ", " a ").split() for t in (row.truth, row.foil))
        changed = [(a, b) for a, b in zip(truth, foil, strict=True) if a != b]
        assert len(changed) == 1
        assert changed[0][0] == plate


def test_negation_is_asked_both_ways_of_every_garnished_dish():
    frame = attribute_foils(KITCHEN.values())
    part = frame[frame["kind"] == "negation"]
    garnished = {i for i, r in KITCHEN.items() if r.attributes["garnish"] != "none"}
    assert set(part["recipe_id"]) == garnished
    for recipe_id, rows in part.groupby("recipe_id"):
        name = WORDS["garnish"][KITCHEN[recipe_id].attributes["garnish"]][0]
        there, absent = rows.itertuples()
        assert there.truth.endswith(f" with {name}")
        assert there.foil.endswith(f" without {name}")
        assert " without " in absent.truth
        assert " with " in absent.foil
        assert not absent.truth.endswith(f" {name}")


def test_numbers_are_asked_of_counted_ingredients():
    frame = attribute_foils(GENERAL.values())
    assert set(frame["kind"]) == {"number"}
    counted = {i for i, r in GENERAL.items() if r.attributes.get("main", "none") != "none"}
    assert set(frame["recipe_id"]) == counted
    for row in frame.itertuples():
        true, wrong = row.truth.split()[0], row.foil.split()[0]
        assert true == GENERAL[row.recipe_id].attributes["count"] != wrong
        assert wrong in COUNTS
        assert row.truth.split()[1:] == row.foil.split()[1:]


def test_what_a_recipe_gets_depends_on_itself_and_the_seed():
    some = list(KITCHEN.values())[:9]
    whole, part = attribute_foils(KITCHEN.values()), attribute_foils(some[::-1])
    ids = {r.recipe_id for r in some}
    both = [
        f[f["recipe_id"].isin(ids)].sort_values(["recipe_id", "kind", "truth"])
        for f in (whole, part)
    ]
    assert both[0].to_numpy().tolist() == both[1].to_numpy().tolist()
    other = attribute_foils(some, seed=1)
    assert other.to_numpy().tolist() != attribute_foils(some).to_numpy().tolist()


def test_kinds_come_in_order_and_recipes_without_attributes_give_nothing():
    frame = attribute_foils([*GENERAL.values(), *KITCHEN.values()])
    assert list(dict.fromkeys(frame["kind"])) == list(ORDER)
    plain = Recipe("1", "Pie", ("1/0.jpg",))
    bare = Recipe("2", "Pie", (), attributes=next(iter(KITCHEN.values())).attributes)
    assert attribute_foils([plain, bare]).empty
