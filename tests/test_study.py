"""The study: what its numbers are computed from, how it is judged, saved and gone on with."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers.evaluation.stats import NOT_ASKED, Sample, estimate
from helpers.grid import Result, Run, join, run_grid
from helpers.study import UNTRAINED, Design, Study, gate_fails, judge

N_ITEMS, CAPTIONS = 40, 2


def ranks_of(strength: float, seed: int, *, gallery_size: int = 200) -> pd.DataFrame:
    """Made-up ranks, better with more strength, with spread by item and by seed."""
    hard = np.random.default_rng(5).normal(0, 1, N_ITEMS)
    rng = np.random.default_rng([seed + 1, int(10 * strength)])
    parts = []
    for direction, per_item in (("text_to_image", CAPTIONS), ("image_to_text", 1)):
        item = np.repeat(np.arange(N_ITEMS), per_item)
        level = 2.5 + hard[item] - strength + rng.normal(0, 0.3) + rng.normal(0, 1, len(item))
        rank = np.clip(np.round(2 * np.exp(level)) / 2, 1, gallery_size)
        columns = {"test": "kitchen", "direction": direction, "query": np.arange(len(item))}
        known = {"group": [f"r{i}" for i in item], "gallery": 0, "gallery_size": gallery_size}
        parts.append(pd.DataFrame(columns | known | {"positives": 3, "rank": rank}))
    return pd.concat(parts, ignore_index=True)


ARMS = {"zero-shot": {"strength": 0.0}, "lora": {"strength": 0.9}, "same": {"strength": 0.9}}


def seeds(arm: str) -> list[int]:
    return [UNTRAINED] if arm == "zero-shot" else [1, 2, 3, 4, 5]


def train(*, seed: int, strength: float) -> Result:
    scores = pd.DataFrame({"step": [0, 10, 20], "score": [0.3, 0.5, 0.5 + strength / 1000]})
    return Result(ranks_of(strength, seed), {"seconds": 1.0}, {"evaluations": scores})


H1 = {"name": "H1", "says": "LoRA helps", "a": "lora", "b": "zero-shot", "test": "kitchen",
      "kind": "higher", "margin": 1, "reported": 2.4}  # fmt: skip
EQUAL = H1 | {"name": "equal", "a": "same", "b": "lora", "kind": "same", "reported": None}


@pytest.fixture
def study(tmp_path) -> Study:
    return run_grid(train, ARMS, seeds=seeds, folder=tmp_path / "runs", identity="", progress=False)


def by_hand(study: Study, arm: str, direction: str, k: int = 10) -> pd.DataFrame:
    """Hits of an arm as a frame: a row a seed, a column a query."""
    part = study.ranks[(study.ranks["arm"] == arm) & (study.ranks["direction"] == direction)]
    return part.assign(hit=part["rank"] <= k).pivot(index="seed", columns="query", values="hit")


def test_a_value_is_the_mean_over_seeds_and_queries(study):
    for direction in ("text_to_image", "image_to_text"):
        found = study.estimate("lora", test="kitchen", direction=direction)
        assert found.value == pytest.approx(by_hand(study, "lora", direction).to_numpy().mean())
        assert found.n_seeds == 5
        assert found.n_items == N_ITEMS
    assert study.estimate("zero-shot", test="kitchen").n_seeds == 0


def test_a_difference_is_that_of_the_formula(study):
    way = "text_to_image"
    lora, base = (by_hand(study, arm, way).to_numpy() for arm in ("lora", "zero-shot"))
    groups = np.repeat([f"r{i}" for i in range(N_ITEMS)], CAPTIONS)
    wanted = estimate(Sample(lora.astype(float) - base, groups))
    assert study.difference("lora", "zero-shot", test="kitchen", direction=way) == wanted


def test_both_directions_are_their_mean(study):
    found = study.difference("lora", "zero-shot", test="kitchen")
    parts = [
        study.difference("lora", "zero-shot", test="kitchen", direction=one).value
        for one in ("text_to_image", "image_to_text")
    ]
    assert found.value == pytest.approx(np.mean(parts))
    assert found.n == N_ITEMS  # of the smaller direction


def test_a_weighted_sum_of_arms(study):
    weights = {"lora": 1, "same": -0.95, "zero-shot": -0.05}
    found = study.estimate(weights, test="kitchen")
    parts = {arm: study.estimate(arm, test="kitchen").value for arm in weights}
    assert found.value == pytest.approx(sum(w * parts[arm] for arm, w in weights.items()))


def test_hit_at_k_says_nothing_in_a_gallery_of_k(study):
    small = Study(study.ranks.assign(gallery_size=6), study.runs)
    found = small.estimate("lora", metric="hit@10", test="kitchen")
    assert found.missing == "n/a (gallery has 6)"
    assert np.isnan(found.value)
    assert small.estimate("lora", metric="hit@5", test="kitchen").missing == ""


def test_chance_of_the_galleries(study):
    assert study.chance("hit@10", test="kitchen") == pytest.approx(
        1 - np.prod([(197 - i) / (200 - i) for i in range(10)])
    )


def test_what_was_saved_is_the_same_study(study, tmp_path):
    study.save(tmp_path / "committed")
    again = Study.load(tmp_path / "committed")
    where = {"test": "kitchen", "metric": "mrr"}
    before, after = (s.difference("lora", "same", **where) for s in (study, again))
    assert after.value == pytest.approx(before.value, abs=1e-6)
    assert after.low == pytest.approx(before.low, abs=1e-6)
    assert again.seeds("lora") == [1, 2, 3, 4, 5]
    assert again.frames["evaluations"].equals(study.frames["evaluations"])
    assert again.ranks["rank"].dtype == "float32"


def test_a_folder_without_a_study_names_the_command(tmp_path):
    (tmp_path / "04_lora_finetune").mkdir()
    with pytest.raises(FileNotFoundError, match="course run --profile study --only 04"):
        Study.load(tmp_path / "04_lora_finetune")


def test_unknown_names_are_refused(study):
    with pytest.raises(ValueError, match="no arm 'loar'"):
        study.estimate("loar", test="kitchen")
    with pytest.raises(ValueError, match="no ranks of test 'garage'"):
        study.estimate("lora", test="garage")


def test_a_run_that_lacks_queries_is_refused(study):
    with pytest.raises(ValueError, match="has not ranked 1 queries of"):
        Study(study.ranks.iloc[1:], study.runs).estimate("zero-shot", test="kitchen")


def test_a_finished_run_is_not_trained_again(tmp_path):
    trained = []

    def counting(*, seed, strength):
        trained.append((seed, strength))
        return train(seed=seed, strength=strength)

    asked = {"seeds": seeds, "folder": tmp_path, "identity": "", "progress": False}
    first = run_grid(counting, ARMS, **asked)
    assert len(trained) == 11
    again = run_grid(counting, ARMS, **asked)
    assert len(trained) == 11
    assert again.ranks.equals(first.ranks)
    run_grid(counting, {"lora": {"strength": 0.5}}, **asked)  # other factors: trained anew
    assert len(trained) == 16
    run_grid(counting, {"lora": {"strength": 0.5}}, **asked | {"identity": "other weights"})
    assert len(trained) == 21
    assert not list(tmp_path.glob("*.lock"))


def test_a_grid_goes_seed_by_seed_and_survives_a_stop(tmp_path):
    asked = {"seeds": seeds, "folder": tmp_path, "identity": "", "progress": False}
    done = []

    def stopping(*, seed, strength):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(seed)
        return train(seed=seed, strength=strength)

    with pytest.raises(KeyboardInterrupt):
        run_grid(stopping, ARMS, **asked)
    assert done == [UNTRAINED, 1, 1, 2]
    assert len(list(tmp_path.glob("*/info.json"))) == 4
    asked_elsewhere = asked | {"folder": tmp_path / "other"}
    whole = run_grid(train, ARMS, **asked_elsewhere)
    assert run_grid(train, ARMS, **asked).ranks.equals(whole.ranks)


def test_a_half_written_run_is_trained_again(tmp_path):
    run = Run("lora", 1, {"strength": 0.9})
    (tmp_path / f".{run.name}").mkdir()
    (tmp_path / f".{run.name}" / "info.json").write_text(json.dumps({"key": run.key("")}))
    asked = {"seeds": lambda arm: [1], "folder": tmp_path, "identity": "", "progress": False}
    assert len(run_grid(train, {"lora": {"strength": 0.9}}, **asked).runs) == 1
    assert not (tmp_path / f".{run.name}").exists()


def test_two_arms_never_share_a_folder_and_a_run_of_another_training_is_not_joined(tmp_path):
    arms = {"gain +5": {"strength": 0.9}, "gain -5": {"strength": 0.1}}
    asked = {"seeds": lambda arm: [1], "folder": tmp_path, "progress": False}
    found = run_grid(train, arms, identity="a", **asked)
    assert found.estimate("gain +5", test="kitchen").value != found.estimate(
        "gain -5", test="kitchen").value  # fmt: skip
    with pytest.raises(ValueError, match="holds another training than 'gain"):
        join(tmp_path, [Run(arm, 1, factors) for arm, factors in arms.items()], "b")


def test_a_few_trainings_give_no_verdict_on_a_method(tmp_path):
    asked = {"folder": tmp_path, "identity": "", "progress": False}
    few = run_grid(train, ARMS, seeds=lambda arm: seeds(arm)[:4], **asked)
    found = judge(few, design(H1)).iloc[0]
    assert found["verdict"] == NOT_ASKED
    assert "4 of at least 5 trainings" in found["text"]
    assert found["p_holm"] == 1


def test_arms_that_ranked_other_items_are_refused():
    one, other = ranks_of(0.5, 1), ranks_of(0.9, 1)
    other["group"] = other["group"].astype(str) + "x"
    both = Study.of({"a": one, "b": other}, test="kitchen")
    with pytest.raises(ValueError, match="other items under the same query numbers"):
        both.difference("a", "b", test="kitchen")


@pytest.mark.parametrize(
    ("scores", "closed"),
    [([0.3, 0.5, 0.503], False), ([0.3, 0.5, 0.51], True), ([0.3, 0.5, 0.49], True)],
)
def test_an_arm_is_flat_that_neither_rises_nor_falls(study, scores, closed):
    """The last two evaluations count, as means over seeds; a comma belongs to the name."""
    rows = [("LoRA, batch 32", seed, step, score + wobble) for seed, wobble in ((1, -0.2), (2, 0.2))
            for step, score in enumerate(scores)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["arm", "seed", "step", "score"])
    told = gate_fails(
        Study(study.ranks, study.runs, {"evaluations": frame}), "flat: LoRA, batch 32"
    )
    assert bool(told) == closed


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([0.50, 0.58, 0.56], ""),
        ([0.50, 0.58, 0.575], "none, 100 falls by 0.5 points only"),
        ([0.50, 0.56, 0.58], "none, 100 falls by 0.0 points only"),
        ([0.50, 0.48, 0.47], ""),  # it never improved on its start
    ],
)
def test_an_arm_overfits_that_falls_a_point_from_its_best_look(study, scores, told):
    rows = [("none, 100", 1, step, score) for step, score in enumerate(scores)]
    frame = pd.DataFrame(rows, columns=["arm", "seed", "step", "score"])
    both = Study(study.ranks, study.runs, {"evaluations": frame})
    assert gate_fails(both, "overfits: none, 100") == told


def test_of_several_gates_every_one_has_to_hold(study):
    rows = [(arm, 1, step, score) for arm, scores in (("a", (0.5, 0.5)), ("b", (0.4, 0.6)))
            for step, score in enumerate(scores)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["arm", "seed", "step", "score"])
    both = Study(study.ranks, study.runs, {"evaluations": frame})
    assert gate_fails(both, "flat: a; above: b > a") == ""
    assert gate_fails(both, "flat: a; flat: b") == "b still moves by +20.0 points"
    assert gate_fails(both, "flat: b; flat: a") == "b still moves by +20.0 points"


def test_a_gate_without_evaluations_names_the_arm(study):
    bare = Study(study.ranks, study.runs)
    with pytest.raises(ValueError, match="'lora' has fewer than 2 evaluations"):
        judge(bare, design(H1 | {"gate": "flat: lora"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": {"default": 5, "Lora": 10}}, "seeds name 'Lora'"),
        ({"hypotheses": [H1 | {"a": "LoRA"}]}, "hypotheses name 'LoRA'"),
        ({"hypotheses": [H1, H1]}, "two hypotheses named 'H1'"),
    ],
)
def test_a_design_names_only_what_it_holds(change, message):
    with pytest.raises(ValueError, match=message):
        Design(**design(H1).model_dump() | change)


def design(*hypotheses: dict) -> Design:
    return Design(
        lesson="04", version=1, date="2026-11-30", question="?", base={}, data={}, arms=ARMS,
        seeds={"default": 5, "zero-shot": 0}, hypotheses=list(hypotheses),
    )  # fmt: skip


def test_hypotheses_are_judged_as_one_family(study):
    found = judge(study, design(H1, EQUAL)).set_index("name")
    assert found.loc["H1", "verdict"] == "supported"
    assert found.loc["H1", "size"] in ("larger than reported", "as reported")
    raw = [found.loc[name, "estimate"].p for name in ("H1", "equal")]
    assert found.loc["H1", "p_holm"] == pytest.approx(2 * raw[0])
    assert found.loc["equal", "p_holm"] == pytest.approx(max(raw[1], 2 * raw[0]))


def test_a_hypothesis_behind_a_closed_gate_is_not_asked_and_stays_in_the_family(study):
    closed = EQUAL | {"name": "gated", "gate": "above: zero-shot > lora"}
    found = judge(study, design(H1, closed)).set_index("name")
    assert found.loc["gated", "verdict"] == "not asked"
    assert "gate: zero-shot is not above lora" in found.loc["gated", "text"]
    assert found.loc["H1", "p_holm"] == pytest.approx(2 * found.loc["H1", "estimate"].p)


def test_gates_read_validation_alone(study):
    assert gate_fails(study, "") == ""
    assert gate_fails(study, "flat: zero-shot") == ""
    moving = study.frames["evaluations"].assign(score=lambda f: f["step"] / 100)
    moved = Study(study.ranks, study.runs, {"evaluations": moving})
    assert gate_fails(moved, "flat: lora") == "lora still moves by +10.0 points"
    with pytest.raises(ValueError, match="unknown gate"):
        gate_fails(study, "steep: lora")


def test_a_design_says_what_is_trained_tested_and_judged():
    kitchen = {"source": "world:kitchen", "n": 1500, "gallery": 300}
    told = Design(**design().model_dump() | {
        "hypotheses": [H1 | {"name": name, "a": "A", "b": "B"} for name in ("H1", "H2")],
        "date": "2026-01-02", "seeds": {"default": 5, "A": 10, "Z": 0},
        "arms": {"Z": {}, "A": {"row": "a"}, "B": {"row": "b"}, "A, half": {"of": "A"}},
        "data": {"kitchen": kitchen, "validation, kitchen": kitchen,
                 "training": {"source": "world:kitchen", "n": 9}},
    })  # fmt: skip
    assert told.sizes == (
        "The study, designed 2026-01-02, trains 2 configurations at least 5 times each, tests them "
        "on 1,500 new items of world:kitchen and judges 2 hypotheses."
    )
    nothing = told.model_copy(update={"seeds": {"default": 0}, "hypotheses": []}).sizes
    assert "trains" not in nothing
    assert "tests 4 configurations on 1,500" in nothing


def test_seeds_of_a_design():
    one = design(H1)
    assert one.seeds_of("lora") == [1, 2, 3, 4, 5]
    assert one.seeds_of("zero-shot") == [UNTRAINED]
