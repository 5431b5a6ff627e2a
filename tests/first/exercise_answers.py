"""Answers to the exercises as learners give them: right ones, and mistakes with their hints.

``RIGHT`` maps an exercise to right answers, ``WRONG`` to pairs of a wrong answer and a pattern that
its hint is to hold.
"""

from tests.first import exercise_answers_cleaning as cleaning
from tests.first import exercise_answers_composed as composed

RIGHT = {
    **cleaning.RIGHT,
    **composed.RIGHT,
}
WRONG = {
    **cleaning.WRONG,
    **composed.WRONG,
}
