"""Searches: drawn by seed, pruned, resumed where they were cut short, paid for by a budget."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState, create_trial

from helpers.data.pairs import Pairs, ensure_pairs
from helpers.first.models.placement import Placement, PlacementError
from helpers.first.studies import search as searches
from helpers.first.studies import search_trials
from helpers.first.studies.search import SearchSpace, rates_around, search_placements
from helpers.first.studies.search_importance import FEWEST, importance_of
from helpers.first.studies.search_space import arm_of, within
from helpers.first.training.loop import TrainingDiverged
from helpers.first.training.runs import ensure_run
from helpers.first.training.settings import Training
from helpers.store.zones import open_zone
from tests.first.small_training import small_encoder

TRAINING = Training(epochs=2, batch_size=8, draw="recipe", seed=3)
RATES = (1e-3, 2e-2)
SPACE = SearchSpace(
    RATES, rank=(1, 3), vision_layers=(1, -1), modules=("q_proj", "q_proj,v_proj"), dropout=0.0
)
POINT = SearchSpace(
    rank=(2, 2), alpha_over_rank=(2, 2), vision_layers=(1, 1), text_layers=(0, 0), heads=(False,),
    modules=("q_proj",), learning_rate=(0.01, 0.01),
)  # fmt: skip
VALUES = {"rank": 2, "alpha_over_rank": 2.0, "vision_layers": 1, "text_layers": 0, "heads": False,
          "modules": "q_proj", "method": "lora", "learning_rate": 0.01}  # fmt: skip


class Blind(Pairs):
    """Pairs whose test recipes nobody may look at."""

    @property
    def test(self):
        raise AssertionError("the search looked at the test recipes")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("search") / "z"))
    return ensure_pairs(zone, source="world:kitchen", max_recipes=30, progress=False)


@pytest.fixture
def fresh(source, tmp_path, monkeypatch):
    """Gives the same pairs in a zone of their own, without any search, and an empty cache."""

    def copied(name: str) -> Blind:
        monkeypatch.setattr(searches.paths, "cache", lambda: tmp_path / name / "cache")
        zone = tmp_path / name / "zone"
        if not zone.exists():
            shutil.copytree(str(source.zone.root), zone)
        return Blind(**vars(source) | {"zone": open_zone(str(zone))})

    return copied


@pytest.fixture
def scripted(monkeypatch):
    """Trials that train nothing: the score is best at a learning rate of 0.01, and grows."""
    now = SimpleNamespace(rate=0.0, epoch=0, trained=[])

    def train(encoder, pairs, settings, *, towers, validate, progress):
        now.rate = settings.learning_rate
        now.trained.append(now.rate)
        epochs = [validate() for now.epoch in range(settings.epochs + 1)]
        return SimpleNamespace(epochs=epochs)

    def validation_score(pairs, encoder):
        far = lambda: abs(np.log10(now.rate or 1) + 2)  # noqa: E731
        return lambda: {"score": 0.5 + 0.1 * now.epoch - 0.2 * far()}

    model = torch.nn.Linear(2, 2)
    adapted = SimpleNamespace(encoder=SimpleNamespace(model=model))
    monkeypatch.setattr(search_trials, "train", train)
    monkeypatch.setattr(search_trials, "validation_score", validation_score)
    monkeypatch.setattr(search_trials, "adapt", lambda *args, **options: adapted)
    monkeypatch.setattr(search_trials, "why_not", lambda *args, **options: "not here")
    monkeypatch.setattr(searches, "importance_of", lambda done, *, seed: {})
    return now


def searched(pairs, *, space=SPACE, training=TRAINING, n_trials=4, **options):
    return search_placements(
        pairs, small_encoder("siglip"), space, training=training,
        n_trials=n_trials, progress=False, **options,
    )  # fmt: skip


def rows(search) -> list[dict]:
    """The trials without their seconds, which no two runs share."""
    return search.trials.drop(columns="seconds").fillna(-1).to_dict("records")


def test_the_winner_is_the_run_that_its_arm_gives(fresh, source):
    pairs = fresh("a")
    found = searched(pairs, n_trials=3)
    trials = found.trials
    assert list(trials["number"]) == [0, 1, 2]
    assert set(trials["state"]) == {"complete"}
    assert list(trials["epochs"]) == [2, 2, 2]
    best = trials.loc[trials["score"].idxmax()]
    placement = found.best.placement
    assert (placement.rank, placement.modules) == (best["rank"], best["modules"])
    assert placement.alpha == pytest.approx(best["rank"] * best["alpha_over_rank"], abs=1e-3)
    assert found.best.training == replace(TRAINING, learning_rate=best["learning_rate"])
    assert found.best_score == best["score"]
    run = ensure_run(
        replace(source, zone=pairs.zone), small_encoder("siglip"), found.best, n_resamples=20,
        progress=False,
    )  # fmt: skip
    assert max(epoch["score"] for epoch in run.log["epochs"][1:]) == found.best_score
    assert run.log["epochs"][0]["score"] == found.untrained
    assert run.results["trainable_parameters"] == best["trainable_parameters"]
    assert found.importance == {}  # of three trials nothing can be said


def test_what_is_done_is_read(fresh, scripted):
    first = searched(fresh("a"))
    assert len(scripted.trained) == 4
    again = searched(fresh("a"))
    assert len(scripted.trained) == 4
    assert rows(again) == rows(first)
    assert (again.best, again.id, again.seconds) == (first.best, first.id, first.seconds)


@pytest.mark.parametrize("pruner", ["median", "none"])
def test_a_search_that_is_cut_short_goes_on_as_if_nothing_had_happened(
    fresh, scripted, monkeypatch, pruner
):
    whole = searched(fresh("whole"), n_trials=10, pruner=pruner)
    assert (whole.pruned > 0) == (pruner == "median")
    train = search_trials.train

    def until(limit):
        def cut(*args, **options):
            if len(scripted.trained) == limit:
                raise KeyboardInterrupt
            return train(*args, **options)

        return cut

    for limit in (12, 18):  # in the third trial after the ten of the whole search, and in a later
        monkeypatch.setattr(search_trials, "train", until(limit))
        with pytest.raises(KeyboardInterrupt):
            searched(fresh("cut"), n_trials=10, pruner=pruner)
    monkeypatch.setattr(search_trials, "train", train)
    assert rows(searched(fresh("cut"), n_trials=10, pruner=pruner)) == rows(whole)
    assert len(scripted.trained) == 20


def test_a_longer_search_goes_on_from_a_shorter_one(fresh, scripted):
    short = searched(fresh("a"), n_trials=3)
    longer = searched(fresh("a"), n_trials=6)
    assert len(scripted.trained) == 6
    assert rows(longer)[:3] == rows(short)
    assert rows(searched(fresh("a"), n_trials=2)) == rows(short)[:2]
    assert longer.best_score >= short.best_score


def test_the_seed_decides(fresh, scripted):
    first, same, other = (
        searched(fresh(name), seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert rows(first) == rows(same)
    assert rows(first) != rows(other)


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_trials_that_lag_behind_are_pruned(fresh, scripted, pruner):
    wide = replace(SPACE, learning_rate=(1e-5, 1.0))
    found = searched(
        fresh("a"), space=wide, training=replace(TRAINING, epochs=4), n_trials=25, pruner=pruner
    )
    trials = found.trials
    pruned, complete = (trials[trials["state"] == state] for state in ("pruned", "complete"))
    assert 0 < found.pruned == len(pruned) < 25
    assert (pruned["epochs"] < 4).all()
    assert (complete["epochs"] == 4).all()
    assert pruned["reason"].str.startswith("behind the others after epoch").all()
    assert (complete["reason"] == "").all()
    far = np.log10(pruned["learning_rate"] / 0.01).abs()
    assert pruned["score"].to_numpy() == pytest.approx(0.5 + 0.1 * pruned["epochs"] - 0.2 * far)
    assert found.best_score == complete["score"].max()
    assert trials["score"][8:].mean() > trials["score"][:8].mean()  # the sampler learns


def test_without_a_pruner_all_are_complete(fresh, scripted):
    assert searched(fresh("a"), n_trials=12, pruner="none").pruned == 0


def test_no_layer_at_all_costs_nothing_and_is_said(fresh, scripted):
    space = replace(SPACE, vision_layers=(0, 1), text_layers=(0, 1))
    found = searched(fresh("a"), space=space, n_trials=12)
    empty = (found.trials["vision_layers"] == 0) & (found.trials["text_layers"] == 0)
    assert 0 < empty.sum() == (found.trials["reason"] == "no layer is adapted").sum()
    assert found.trials.loc[empty, "score"].isna().all()
    assert len(scripted.trained) == 12 - empty.sum()


def test_training_that_diverges_is_a_trial_that_failed(fresh, scripted, monkeypatch):
    train = search_trials.train

    def diverging(*args, **options):
        if len(scripted.trained) == 1:
            scripted.trained.append(0)
            raise TrainingDiverged("nan", step=7, recipe_ids=[], image_keys=[])
        return train(*args, **options)

    monkeypatch.setattr(search_trials, "train", diverging)
    found = searched(fresh("a"), n_trials=3)
    assert list(found.trials["reason"]) == ["", "training diverged at step 7", ""]
    assert list(found.trials["state"]) == ["complete", "pruned", "complete"]
    scripted.trained[:] = [0]
    with pytest.raises(ValueError, match="none of the 1 trials was completed"):
        searched(fresh("b"), n_trials=1)


def test_the_same_values_are_not_trained_twice(fresh, scripted):
    found = searched(fresh("a"), space=POINT, n_trials=3)
    assert len(scripted.trained) == 1
    assert found.trials["score"].nunique() == 1
    assert found.best == arm_of(VALUES, POINT, TRAINING)


def test_a_slow_machine_makes_the_same_search(fresh, scripted):
    """Trials are counted; seconds choose nothing."""
    assert rows(searched(fresh("a"), n_trials=3)) == rows(searched(fresh("b"), n_trials=3))
    assert len(searched(fresh("a"), n_trials=5).trials) == 5


def test_rates_follow_from_those_that_were_given():
    assert rates_around([5e-5, 2e-4]) == pytest.approx((5e-5 / 3, 6e-4), rel=1e-4)


def test_the_arm_of_some_values():
    arm = arm_of(VALUES, replace(SPACE, dropout=0.1), TRAINING)
    assert arm.placement == Placement(
        rank=2, alpha=4, dropout=0.1, vision_layers=1, text_layers=0, modules="q_proj"
    )
    assert arm.training == replace(TRAINING, learning_rate=0.01)
    assert arm_of(VALUES | {"method": "prompt"}, SPACE, TRAINING).placement.alpha == 0


def test_all_is_the_depth_of_the_model():
    found = within(SearchSpace(RATES), small_encoder("clip"))
    assert (found.vision_layers, found.text_layers) == ((0, 3), (0, 2))
    with pytest.raises(PlacementError, match=r"text_layers goes up to 3, but .* has 2 layers"):
        within(SearchSpace(RATES, text_layers=(0, 3)), small_encoder("clip"))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"rank": (0, 4)}, "rank is 0 to 4"),
        ({"rank": (8, 4)}, "rank is 8 to 4"),
        ({"learning_rate": (0, 0.1)}, "learning_rate is 0 to 0.1"),
        ({"vision_layers": (-1, 2)}, "vision_layers is -1 to 2"),
        ({"text_layers": (3, 2)}, "text_layers is 3 to 2"),
        ({"vision_layers": (0, 0), "text_layers": (0, 0)}, "both towers have 0 layers"),
        ({"heads": ()}, "heads is empty"),
        ({"method": ("lora", "lorra")}, "method 'lorra'"),
    ],
)
def test_an_impossible_space_is_refused(choice, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(**{"learning_rate": RATES, **choice})


def test_unknown_modules_are_refused():
    with pytest.raises(PlacementError, match="did you mean 'v_proj'"):
        SearchSpace(RATES, modules=("v_prj",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_trials": 0}, "n_trials is 0: a search takes 1 or more"),
        ({"pruner": "hyperband"}, "pruner 'hyperband' is unknown: use one of median, asha, none"),
    ],
)
def test_a_search_without_an_end_or_with_an_unknown_pruner_is_refused(fresh, options, message):
    with pytest.raises(ValueError, match=message):
        searched(fresh("a"), **options)


def studied(n: int, *, equal: bool = False):
    """Complete trials whose score depends on the rank alone, and one pruned trial."""
    ranks = optuna.distributions.IntDistribution(1, 32)
    flags = optuna.distributions.CategoricalDistribution((False, True))
    rng = np.random.default_rng(0)
    done = []
    for i in range(n + 1):
        rank, heads = int(rng.integers(1, 33)), bool(rng.integers(2))
        state = TrialState.COMPLETE if i else TrialState.PRUNED
        done.append(create_trial(
            state=state, value=0.5 if equal else rank / 32,
            params={"rank": rank, "heads": heads}, distributions={"rank": ranks, "heads": flags},
        ))  # fmt: skip
    return done


def test_importance_finds_what_decides():
    found = importance_of(studied(30), seed=1, repetitions=3)
    assert list(found) == ["rank", "heads"]
    assert {len(shares) for shares in found.values()} == {3}
    assert min(found["rank"]) > 0.8
    assert len(set(found["rank"])) > 1
    total = np.sum(list(found.values()), axis=0)
    assert total == pytest.approx(np.ones(3))
    assert found == importance_of(studied(30), seed=1, repetitions=3)
    assert found != importance_of(studied(30), seed=2, repetitions=3)


def test_importance_of_too_few_or_equal_trials_is_none():
    assert importance_of(studied(FEWEST - 1), seed=1) == {}
    assert importance_of(studied(FEWEST, equal=True), seed=1) == {}
    assert importance_of(studied(FEWEST), seed=1, repetitions=1) != {}
