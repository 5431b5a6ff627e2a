"""Answers to the exercises as learners give them: right ones, and mistakes with their hints.

``RIGHT`` maps an exercise to right answers, ``WRONG`` to pairs of a wrong answer and a pattern that
its hint is to hold.
"""

from tests.first import exercise_answers_cleaning as cleaning
from tests.first import exercise_answers_instances as instances
from tests.first import exercise_answers_serving as serving

RIGHT = {
    **cleaning.RIGHT,
    **serving.RIGHT,
    **instances.RIGHT,
}
WRONG = {
    **cleaning.WRONG,
    **serving.WRONG,
    **instances.WRONG,
}
