"""What a generator takes: parameters counted exactly, the rest by arithmetic that can be redone."""

import pytest

from helpers.first.models.generator_cost import RATES, generator_cost
from tests.first.small_generator import small_generator


def test_the_small_one_is_counted_exactly():
    cost = generator_cost(small_generator(), device="cpu")
    sizes = {n: p.numel() for n, p in small_generator().model.named_parameters()}
    assert cost.parameters == sum(sizes.values())
    parts = ("qformer.", "query_tokens", "language_projection.")
    assert cost.trained == sum(n for name, n in sizes.items() if name.startswith(parts))
    assert cost.weights_gb == pytest.approx(2e-9 * cost.parameters)


def test_more_pairs_take_longer_and_a_gpu_less_long():
    small = small_generator()
    one, two = (generator_cost(small, n_pairs=n) for n in (100, 200))
    assert two.hours == pytest.approx(2 * one.hours)
    assert one.hours == pytest.approx(2 * 100 * one.seconds_per_text / 3600)
    assert generator_cost(small, device="cpu").hours > one.hours
    assert set(RATES) == {"gpu", "cpu"}


def test_vicuna_is_as_large_as_its_checkpoint():
    """7.91 billion parameters, as the published weights have; nothing is fetched or filled."""
    cost = generator_cost("Salesforce/instructblip-vicuna-7b")
    assert cost.parameters / 1e9 == pytest.approx(7.91, abs=0.01)
    assert 15 < cost.weights_gb < 17 < cost.training_gb
    assert "estimate" in cost.says
    assert f"{cost.weights_gb:.3g} GB" in cost.says


def test_unknown_sizes_are_not_guessed():
    with pytest.raises(ValueError, match="open it with load_generator"):
        generator_cost("someone/else")
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        generator_cost(small_generator(), device="tpu")
