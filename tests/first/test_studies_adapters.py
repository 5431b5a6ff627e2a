"""The study of heads: arms by name, rates by validation, the square, settings, effects."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from helpers.first.evaluation.comparison import paired_comparison
from helpers.first.models.adapters import HeadShape, make_heads
from helpers.first.studies import adapters as study
from helpers.first.studies import head_effects, head_settings
from helpers.first.training.head_runs import HeadArm, HeadRun, train_arm
from helpers.first.training.heads import HeadTraining, validation_score
from tests.first.small_features import small_features, small_parts


def small_study(zone, **changes) -> study.Study:
    settings = {"seeds": (1, 2), "rates": (1e-3, 1e-2), "steps": 20, "groups": {}}
    return study.Study(zone, small_parts(), **(settings | changes))


def test_arms_have_the_names_that_records_use():
    assert list(study.arms_named("tower, margin; residual, InfoNCE;")) == [
        "tower, margin", "residual, InfoNCE"
    ]  # fmt: skip
    assert set(study.SQUARE) <= set(study.ARMS)
    naive, kept = study.ARMS[study.NAIVE], study.ARMS[study.KEPT_NCE]
    assert (naive.shape.kind, naive.training.loss, naive.training.negatives) == (
        "tower", "margin", "random"
    )  # fmt: skip
    assert (kept.shape.kind, kept.shape.alpha, kept.training.loss) == ("residual", 0.2, "info_nce")
    assert list(study.arms_named("tower; residual, triplet")) == [
        study.NAIVE, study.NAIVE_BATCH, study.NAIVE_NCE, "residual, triplet"
    ]  # fmt: skip
    assert {*study.SQUARE, study.NAIVE_BATCH, study.KEPT_BATCH} == set(
        study.arms_named("tower; residual")
    )
    for wrong, said in (("towers", "'towers' is no arm"), (" ;", "'nothing' is no arm")):
        with pytest.raises(ValueError, match=f"parameter arms is .*{said}"):
            study.arms_named(wrong)


@pytest.mark.parametrize("kept", ["best", "last"])
def test_the_rate_of_each_seed_is_the_one_that_validates_best(local_zone, kept):
    shared = small_study(local_zone)
    arm = HeadArm(HeadShape(), n_recipes=8)
    chosen = study.run_arm(shared, arm, kept=kept)
    assert [run.arm.training.seed for run in chosen] == [1, 2]
    for run in chosen:
        alone = [
            study.run_arm(replace(shared, seeds=(run.arm.training.seed,), rates=(rate,)), arm)[0]
            for rate in shared.rates
        ]
        assert run.validation(kept) == max(one.validation(kept) for one in alone)
        assert run.arm.training.steps == 20
    assert [a.training.learning_rate for a in study.seeded(shared, arm)] == [
        run.arm.training.learning_rate for run in study.run_arm(shared, arm)
    ]


def test_sizes_that_the_data_cannot_give_are_named():
    assert study.fitting_sizes("200, 50,50", 100) == (
        [50], "sizes: 50 of 100 recipes; left out, because there are fewer: 200"
    )  # fmt: skip
    assert study.fitting_sizes("50", 100) == ([50], "sizes: 50 of 100 recipes")
    assert study.fitting_sizes("200", 100, name="stage_b_sizes") == (
        [100],
        "stage_b_sizes: none fits, all of 100 recipes; left out, because there are fewer: 200",
    )
    for wrong in ("", "1", "50;200", "0.5"):
        with pytest.raises(ValueError, match=r"parameter sizes is .*at least 2"):
            study.fitting_sizes(wrong, 100)


def fake_run(ranks: list[float]) -> HeadRun:
    found = {"text_to_image": ranks}
    return HeadRun(HeadArm(), {"best": {"first_hit_ranks": found, "validation": 0.5}})


def test_a_querys_value_is_averaged_over_seeds():
    runs = [fake_run([1, 20, 3]), fake_run([11, 30, 4])]
    assert study.mean_values(runs, "text_to_image", "hit@10").tolist() == [0.5, 0, 1]
    expected = [(1 + 1 / 11) / 2, (1 / 20 + 1 / 30) / 2, (1 / 3 + 1 / 4) / 2]
    assert study.mean_values(runs, "text_to_image", "mrr").tolist() == pytest.approx(expected)


def test_the_square_is_taken_apart_query_by_query():
    rng = np.random.default_rng(0)
    groups = [f"r{i // 2}" for i in range(80)]
    noise = rng.random(80) * 0.2
    values = dict(zip(study.SQUARE, (noise, noise + 0.1, noise + 0.5, noise + 0.7), strict=True))
    found = study.factorial(values, groups)
    tm, ti, rm, ri = (v.mean() for v in values.values())
    assert found["architecture"].difference == pytest.approx((rm - tm + ri - ti) / 2)
    assert list(found) == ["architecture", "loss and negatives", "interaction"]
    assert found["loss and negatives"].difference == pytest.approx((ti - tm + ri - rm) / 2)
    assert found["interaction"].difference == pytest.approx(((ti - tm) - (ri - rm)) / 2)
    a, b = (values[study.KEPT] + values[study.KEPT_NCE]) / 2, (noise + noise + 0.1) / 2
    assert found["architecture"] == paired_comparison(a, b, groups)


def test_negatives_and_loss_add_up_to_what_both_did():
    rng = np.random.default_rng(1)
    names = (*study.SQUARE, study.NAIVE_BATCH, study.KEPT_BATCH)
    values = {name: rng.random(40) + i / 10 for i, name in enumerate(names)}
    found = study.factorial(values, [f"r{i // 2}" for i in range(40)])
    means = {name: v.mean() for name, v in values.items()}
    batch = (means[study.NAIVE_BATCH] + means[study.KEPT_BATCH]) / 2
    random = (means[study.NAIVE] + means[study.KEPT]) / 2
    negatives, loss = (found[f"of it, the {what}"].difference for what in ("negatives", "loss"))
    assert negatives == pytest.approx(batch - random)
    assert negatives + loss == pytest.approx(found["loss and negatives"].difference)


def test_the_two_margins_differ_in_negatives_alone():
    for random, batch in ((study.NAIVE, study.NAIVE_BATCH), (study.KEPT, study.KEPT_BATCH)):
        one, other = study.ARMS[random], study.ARMS[batch]
        assert other.training == replace(one.training, negatives="batch")
        assert other.shape == one.shape


@pytest.mark.parametrize(
    ("differences", "at"),
    [([-0.1, 0.1, 0.2], 316.2), ([-0.2, -0.1, 0.0], 10000), ([0.1, -0.1, -0.2], None),
     ([-0.1, -0.2, -0.3], None), ([0.1, -0.1, 0.3], 1778.3)],
)  # fmt: skip
def test_crossings_are_where_a_line_first_rises_through_zero(differences, at):
    found = study.crossing([100, 1000, 10000], differences)
    assert found == pytest.approx(at, rel=1e-3) if at else found is None


def test_negatives_differ_in_nothing_else_and_mining_is_guarded(local_zone):
    features = small_features(12, per=2)
    twins = {f"r{i}": f"r{i // 2}" for i in range(12)}
    mined = study.mined_captions(features, twins, k=3, ceiling=float("inf"))
    for i, rows in enumerate(mined.rows):
        for row in rows[rows >= 0]:
            assert twins[features.data.caption_ids[row]] != twins[features.data.image_ids[i]]
    done = study.run_negatives(small_study(local_zone, seeds=(1,), rates=(1e-3,)), 8, {})
    mines = [name for name, arm in study.NEGATIVE_ARMS.items() if arm.training.negatives == "mined"]
    assert set(done) == set(study.NEGATIVE_ARMS) | {f"{name}, no ceiling" for name in mines}
    assert len({run.record["id"] for runs in done.values() for run in runs}) == len(done)
    assert {arm.shape for arm in study.NEGATIVE_ARMS.values()} == {HeadShape()}
    assert len({(a.training.loss, a.training.negatives) for a in study.NEGATIVE_ARMS.values()}) == 7


def test_settings_are_tried_on_validation_and_the_best_is_taken(local_zone):
    shared = small_study(local_zone, seeds=(1,), rates=(1e-2,))
    arms = head_settings.alpha_arms("0.5, 0.2, 1", 8)
    assert list(arms) == [0.2, 0.5, 1.0]
    assert [arm.shape.zero_init for arm in arms.values()] == [True, True, False]
    runs = head_settings.run_settings(shared, arms)
    found = head_settings.scores(runs)
    picked, table = head_settings.choice(runs, "alpha")
    assert found[picked] == [max(score for (score,) in found.values())]
    assert table["alpha"].tolist() == [0.2, 0.5, 1.0]
    widths = head_settings.width_arms("2,6", 8)
    assert [arm.shape.width for arm in widths.values()] == list(widths) == [2, 6]
    for wrong in ("0.5", "8.7"):  # another width would be trained than is drawn
        with pytest.raises(ValueError, match=r"parameter widths is .*whole numbers"):
            head_settings.width_arms(wrong, 8)


def test_the_turned_dial_passes_through_the_frozen_and_the_trained_model(local_zone):
    shared = small_study(local_zone, seeds=(1,), rates=(1e-2,))
    arm = HeadArm(HeadShape(alpha=0.2), n_recipes=8)
    found = head_settings.turned(shared, arm, [0, 0.2, 0.7])
    frozen = make_heads(HeadShape(alpha=0), 12)
    assert found[0] == [validation_score(frozen, shared.parts.validation)]
    assert found[0.2] == [study.run_arm(shared, arm)[0].validation()]
    learned = head_settings.learned_alpha(shared, arm)
    assert set(learned) == {"image", "text"}
    assert learned["image"] != 0.2


def test_untouched_heads_move_nothing_and_towers_move_neighbors():
    home, away = small_features(20, seed=1), small_features(15, seed=2)
    kept = head_effects.misalignment(make_heads(HeadShape(alpha=0), 12), home, away, k=3)
    moved = head_effects.misalignment(make_heads(HeadShape("tower"), 12), home, away, k=3)
    assert kept["neighbors kept, pictures"] == kept["neighbors kept, captions"] == 1
    assert moved["neighbors kept, pictures"] < 0.9
    assert moved["hit@3, away"] < kept["hit@3, away"]
    assert moved["alignment"] > kept["alignment"]


class FakeEncoder:
    """Texts are the rows that they name."""

    def texts(self, captions):
        return np.eye(12, dtype=np.float32)[[int(c) for c in captions]]


def test_foils_are_asked_of_every_model_by_kind():
    features = replace(small_features(3, per=1), images=np.eye(12, dtype=np.float32)[:3])
    keys = features.data.image_keys
    asked = pd.DataFrame(
        [("color", "r0", keys[0], "0", "5"), ("color", "r1", keys[1], "6", "1"),
         ("shape", "r2", keys[2], "7", "8")],
        columns=["kind", "recipe_id", "image_key", "truth", "foil"],
    )  # fmt: skip
    models = {"M0": make_heads(HeadShape(alpha=0), 12)}
    values = head_effects.foil_values(FakeEncoder(), models, asked, features)
    assert values["M0"].tolist() == [1, 0, 0.5]
    frame = head_effects.foil_kinds(FakeEncoder(), models, asked, features)
    assert dict(zip(frame["kind"], frame["value"], strict=True)) == {"color": 0.5, "shape": 0.5}
    found = head_effects.preferences(FakeEncoder(), models["M0"], asked, features)
    assert found["truth_score"].tolist() == [1, 0, 0]
    assert found["foil_score"].tolist() == [0, 1, 0]


def test_pictures_keep_their_rows_when_texts_are_exchanged():
    features = replace(small_features(4, per=2), images=np.eye(12, dtype=np.float32)[:8])
    found = head_effects.with_texts(features, FakeEncoder(), ["3", "5", "9"], ["r2", "r0", "gone"])
    assert found.data.image_ids.tolist() == ["r0", "r0", "r2", "r2"]
    np.testing.assert_array_equal(found.images, np.eye(12)[[0, 1, 4, 5]])
    assert found.data.captions == ("3", "5")
    assert found.data.caption_ids.tolist() == ["r2", "r0"]
    np.testing.assert_array_equal(found.texts, np.eye(12)[[3, 5]])
    assert found.fingerprint != features.fingerprint
    with pytest.raises(ValueError, match="no text belongs"):
        head_effects.with_texts(features, FakeEncoder(), ["1"], ["gone"])


def test_heads_on_other_texts_have_the_recipes_and_settings_of_the_arm():
    """The arm's own texts given back are the arm's own heads."""
    parts = small_parts()
    training = HeadTraining(steps=12, learning_rate=1e-2, seed=5)
    arm = HeadArm(HeadShape(), training, n_recipes=6)
    data = parts.train.data
    known = dict(zip(data.captions, parts.train.texts, strict=True))

    class Known:
        def texts(self, asked):
            return np.stack([known[text] for text in asked])

    again = head_effects.heads_on_texts(parts, Known(), arm, data.captions, data.caption_ids)
    own = train_arm(parts, arm).best
    for key, value in own.state_dict().items():
        assert np.array_equal(value, again.state_dict()[key])


def test_triplets_over_the_batch_are_an_arm():
    assert study.ARMS["residual, triplet"].training == HeadTraining(loss="triplet")
