"""Notes and texts for the language model: true to each other, of all values, never of pictures."""

import numpy as np

from helpers.world import general
from helpers.world.mentions import claims
from helpers.world.reading import (
    CHANGE,
    FIRST,
    INSTRUCTIONS,
    N_NOTES,
    NOTHING,
    draw_reading,
    notes,
)


def readings(n):
    return [draw_reading(np.random.default_rng([5, i])) for i in range(n)]


def told(noted):
    """The values in some notes; the sixth is a shape, which only a plate makes a claim."""
    return set().union(*(claims(phrase).wanted for phrase in noted))


def test_a_text_follows_from_its_notes():
    for reading in readings(400):
        assert len(reading.first) == len(reading.second) == N_NOTES
        first, second = told(reading.first), told(reading.second)
        found = claims(reading.text)
        if reading.instruction == CHANGE:
            assert found.wanted <= second
            assert found.removed <= first
            assert len({name for name, _ in first ^ second}) in (1, 2)
        else:
            own = first if reading.instruction == FIRST else second
            assert {v for v in found.wanted if v[0] in ("dish", "main", "garnish", "sauce")} <= own


def test_every_instruction_and_every_new_value_occurs():
    drawn = readings(600)
    assert {reading.instruction for reading in drawn} == set(INSTRUCTIONS)
    values = set().union(*(told(reading.second) for reading in drawn))
    assert {("dish", "sushi"), ("garnish", "olives"), ("sauce", "turmeric")} <= values


def test_notes_of_a_scene_without_food_say_nothing_of_food():
    rng = np.random.default_rng(0)
    scene = next(a for a in (general.sample(rng) for _ in range(50)) if a["kind"] == "objects")
    noted = notes(scene)
    assert noted[2] == noted[5] == NOTHING
    assert noted[7] == "things"


def test_readings_are_the_same_again():
    assert readings(20) == readings(20)
