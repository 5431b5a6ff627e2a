"""Every model that the documents name opens, embeds and searches; a broken one is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.behaviour.conftest import run_in
from tests.behaviour.model_inputs import (
    BROKEN,
    COMMIT,
    FAMILIES,
    cosines,
    counting_hub,
    naflex_of_the_hub,
    put_into_cache,
    tiny_copy,
)

RUN = "models"
# As people write: capitals, punctuation, spaces, a word that no vocabulary has, an emoji.
QUESTIONS = [
    "Red  SOUP, with (garlic)!", "red  soup, with (garlic)!", "Crème brûlée 🍮 no. 3", "stew",
]  # fmt: skip


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Path]:
    """A small checkpoint of each class in the hub's own layout."""
    top = tmp_path_factory.mktemp("checkpoints")
    return {name: build(top / f"small-{name}") for name, build in FAMILIES.items()}


@pytest.fixture(scope="session")
def hub_run(checkout, patterns, models, tmp_path_factory):
    """Lesson 03 with a hub model from the cache; the variables, and what the hub was asked."""
    cache = put_into_cache(models["siglip"], tmp_path_factory.mktemp("hf"), "acme/siglip")
    with counting_hub() as (hub, asked):
        shell_of_the_run = cache | hub
        done = run_in(
            checkout,
            f"course run --name {RUN} --only 03 -p model=acme/siglip -p source={patterns} "
            "-p n_resamples=50",
            env=shell_of_the_run,
        )
        assert done.code == 0, done.text
        yield shell_of_the_run, asked


def hits_of(done) -> list[list[dict]]:
    """The hits of each line of ``course search --json``."""
    assert done.code == 0, done.text
    assert "Traceback" not in done.text
    return [json.loads(line)["hits"] for line in done.out.splitlines()]


@pytest.mark.parametrize("family", FAMILIES)
def test_search_gives_what_the_library_gives(family, models, hub_run, shell, checkout):
    """Faults 2 and 26: the same tokens as the encoder, in lower case, SigLIP's 64 long.

    Fault 25: the SigLIP comes from the cache of hub models, and nothing is asked of a network.
    """
    variables, asked = hub_run
    model = "acme/siglip" if family == "siglip" else str(models[family])
    done = shell(
        f"course search --name {RUN} --build --json -k 30 --model {model}",
        given="\n".join(QUESTIONS), env=variables,
    )  # fmt: skip
    found = hits_of(done)
    assert asked == []
    for text, hits in zip(QUESTIONS, found, strict=True):
        expected = cosines(models[family], text, [Path(hit["path"]) for hit in hits])
        np.testing.assert_allclose([hit["score"] for hit in hits], expected, atol=2e-3)
        assert expected.max() - expected.min() > 0.02, "the pictures are told apart"
    assert found[0] == found[1], "capitals change nothing"
    towers = (checkout / "data" / "zones" / RUN / "fine-tuning-zone").glob("search/*/*tower.json")
    name = model if family == "siglip" else Path(model).name
    (record,) = [text for place in towers if f'"{name}"' in (text := place.read_text())]
    rules = "cut to 77 tokens" if family == "clip" else "padded to 64 tokens"
    assert f"in lower case, {rules}" in record


def test_naflex_is_refused_by_name(tmp_path, hub_run, shell):
    """Fault 26: SigLIP 2 for pictures of any shape is another model."""
    folder = naflex_of_the_hub(tmp_path / "naflex")
    done = shell(f"course search --name {RUN} --build --model {folder} soup")
    assert done.code == 2
    assert "NaFlex" in done.err
    assert "google/siglip2-base-patch16-224" in done.err


def refusal(done) -> str:
    """The one line of a command that could not be carried out."""
    assert done.code == 2, done.text
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert len(lines) == 1, done.text
    assert lines[0].startswith("course: ")
    private = r"\b(Error|Traceback|weights_only|UnpicklingError|\w+Error)\b|<class"
    assert not re.search(private, lines[0]), lines[0]
    return lines[0]


OFTEN = ("weights-pointer", "other-picture-size")  # the others are refused in the same way


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in OFTEN else pytest.mark.journey) for n in BROKEN]
)
def test_a_broken_checkpoint_is_refused_in_one_sentence(name, tmp_path, hub_run, shell):
    """Faults 23 and 24: file, numbers and remedy, when it is opened."""
    spoil, words = BROKEN[name]
    folder = tiny_copy(tmp_path / name)
    spoil(folder)
    line = refusal(shell(f"course search --name {RUN} --build --model {folder} soup"))
    assert name in line
    for word in words:
        assert word in line


def test_a_lesson_asks_nothing_of_the_hub_and_records_the_revision(hub_run, checkout):
    """Fault 25: in run.json and beside the baseline's results."""
    assert hub_run[1] == []
    record = json.loads((checkout / "reports" / RUN / "03_baseline_eval" / "run.json").read_text())
    assert COMMIT in record["fingerprint"]["inputs"]["model"]
    folder = checkout / "data" / "zones" / RUN / "fine-tuning-zone" / "experiments" / "baseline"
    baseline = json.loads((folder / "results_baseline.json").read_text())
    assert baseline["model"] == "acme/siglip"
    assert baseline["revision"] == COMMIT
    assert baseline["texts"] == "in lower case, padded to 64 tokens"


def test_a_hub_model_that_was_not_downloaded_names_the_command(hub_run, shell):
    """Fault 25: nothing is downloaded in silence."""
    variables, asked = hub_run
    done = shell(f"course search --name {RUN} --build --model acme/clip stew", env=variables)
    assert "'hf download acme/clip'" in refusal(done)
    assert asked == []


def test_the_switch_for_the_baseline_is_refused_with_the_remedy(shell, patterns):
    """Fault 29: ``method: baseline`` trains nothing; lesson 03 measures it."""
    done = shell(f"course run --name switch --only 04 -p method=baseline -p source={patterns}")
    assert done.code != 0
    assert "baseline" in done.text
    assert "--only 03" in done.text
    assert "AssertionError" not in done.text
