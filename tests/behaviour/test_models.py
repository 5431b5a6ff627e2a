"""Every model that the documents name opens, embeds and searches; a broken one is refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.behaviour.conftest import ROOT, lessons, run_in
from tests.behaviour.model_inputs import (
    BROKEN,
    COMMIT,
    FAMILIES,
    POINTER,
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
            f"course run --name {RUN} --only 03 -p model=acme/siglip -p source={patterns}",
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


@pytest.fixture(scope="session")
def others(patterns, tmp_path_factory) -> Path:
    """The patterns once more, as another domain."""
    folder = Path(shutil.copytree(patterns.parent, tmp_path_factory.mktemp("others") / "images"))
    return (folder / "captions.csv").rename(folder / "others.csv")


SMALL = "-p epochs=1 -p batch_size=8"
# Together they hold every value that the comments of lesson 04's parameters name, but for the
# devices and the tiny models' own defaults.
TRAININGS = {
    "dora": f"-p method=dora {SMALL} -p rank=2",
    "rslora": f"-p method=rslora {SMALL} -p modules=fc1,fc2 -p distill=1 -p factor=0.5",
}


@pytest.fixture(scope="session")
def adapter(hub_run, shell_of, patterns, others) -> Path:
    """Where lesson 04 has written an adapter by DoRA for the hub's SigLIP."""
    done, checkout = shell_of(
        f"course run --name trained --only 04 -p model=acme/siglip -p source={patterns} "
        f"-p other={others} {TRAININGS['dora']}",
        env=hub_run[0],
    )
    assert done.code == 0, done.text
    assert hub_run[1] == []
    zone = checkout / "data" / "zones" / "trained"
    (record,) = zone.glob("fine-tuning-zone/experiments/*/*/*/base.json")
    return record.parent


@pytest.fixture(scope="session")
def shell_of(checkout):
    """A command in the shared copy, for fixtures of the session."""

    def run(command: str, **options):
        return run_in(checkout, command, **options), checkout

    return run


@pytest.mark.journey
def test_dora_runs_and_its_card_names_revision_and_texts(adapter):
    """Faults 25, 26 and 29: the method, the revision and the lower case in the records."""
    assert json.loads((adapter / "adapter_config.json").read_text())["use_dora"]
    record = json.loads((adapter / "base.json").read_text())
    assert record["base"]["revision"] == COMMIT
    assert record["texts"] == "in lower case, padded to 64 tokens"
    card = (adapter / "README.md").read_text()
    assert f"revision {COMMIT}" in card
    assert "in lower case, padded to 64 tokens" in card


@pytest.mark.journey
def test_rslora_runs_with_the_hubs_clip(models, shell, checkout, patterns, others):
    """Fault 29: another method, the projections of the MLP, and half of the update is kept."""
    done = shell(
        f"course run --name rslora --only 04 -p model={models['clip']} -p source={patterns} "
        f"-p other={others} -p replay={others} {TRAININGS['rslora']}"
    )
    assert done.code == 0, done.text
    zone = checkout / "data" / "zones" / "rslora"
    (config,) = zone.glob("fine-tuning-zone/experiments/*/*/*/adapter_config.json")
    assert json.loads(config.read_text())["use_rslora"]
    assert json.loads((config.parent / "base.json").read_text())["factor"] == 0.5
    assert json.loads(config.read_text())["lora_alpha"] == 8.0  # 16 times the factor


@pytest.mark.journey
def test_search_takes_the_adapter(adapter, hub_run, shell):
    """Fault 2: with an adapter on it too, the SigLIP of the hub is searched."""
    done = shell(
        f"course search --name {RUN} --build --json --model acme/siglip --adapter {adapter}",
        given="stew\nStew!\n", env=hub_run[0],
    )  # fmt: skip
    small, capital = hits_of(done)
    assert small == capital


@pytest.mark.journey
@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("adapter_model.safetensors", POINTER.encode(), ("134 bytes", "git-lfs")),
        ("adapter_model.safetensors", b"", ("0 bytes",)),
        ("adapter_model.safetensors", None, ("adapter_model.safetensors is missing", "again")),
        ("adapter_config.json", b"{", ("adapter_config.json", "again")),
        ("base.json", b"{}", ("base.json", "again")),
        ("base.json", None, ("base.json",)),
    ],
)
def test_a_broken_adapter_is_refused_in_one_sentence(
    file, content, words, adapter, hub_run, shell, tmp_path
):
    """Fault 23: file and remedy, for adapters as for checkpoints."""
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    done = shell(
        f"course search --name {RUN} --build --model acme/siglip --adapter {folder} stew",
        env=hub_run[0],
    )
    line = refusal(done)
    for word in (str(folder), *words):
        assert word in line


# The lessons that take a model, each with one of the small checkpoints and as little as it can do.
LESSONS = {
    "02": ("siglip", "-p source={source} -p conditions=both -p steps=2 -p batch_size=8"),
    "05": (
        "siglip2",
        "-p source={source} -p 'rows=r8 v2 heads' -p n_trials=2 -p steps=4",
    ),
    "06": (
        "siglip",
        "-p max_recipes=60 -p n_probes=20 -p 'mixtures=100 real, 100 synthetic' -p steps=2 "
        "-p batch_size=8 -p watermarked=false",
    ),
    "07": (
        "clip",
        "-p n_annotated=60 -p n_pool=60 -p n_validation=40 -p n_test=40 -p steps=10 "
        "-p qformer_steps=4 -p generator_steps=10 -p n_pairs=40 "
        "-p blip2=Salesforce/blip2-itm-vit-g "
        "-p generator=Salesforce/instructblip-vicuna-7b",
    ),
    "08": (
        "clip",
        "-p max_recipes=80 -p n_recipes=40 -p steps=20 -p unfreeze_steps=3",
    ),
    "09": ("siglip2", "-p max_recipes=12 -p samples=64 -p batch_sizes=8,16 -p batch_samples=64"),
    "10": ("siglip", "-p source={source} -p gallery_rows=2000 -p steps=2"),
    "11": ("siglip", "-p source={source} -p marks=drawn -p labelled=2"),
    "13": ("clip", "-p limit_streams=20 -p n_streams=2"),
}


@pytest.mark.journey
@pytest.mark.parametrize("number", LESSONS)
def test_every_lesson_that_takes_a_model_takes_the_hubs(
    number, models, shell, patterns, others, tmp_path
):
    """Faults 2, 25 and 26: the other lessons, each with a model of another class.

    BLIP-2 and InstructBLIP, which lesson 07 takes, come from the cache of hub models.
    """
    family, options = LESSONS[number]
    given = options.format(source=patterns, other=others)
    for tiny, name in (("blip2", "blip2-itm-vit-g"), ("instructblip", "instructblip-vicuna-7b")):
        there = ROOT / "data" / "tiny" / f"tiny-{tiny}"
        cache = put_into_cache(there, tmp_path / "hf", f"Salesforce/{name}")
    command = f"course run --name hub{number} --only {number} -p model={models[family]} {given}"
    with counting_hub() as (hub, asked):
        done = shell(command, env=cache | hub)
    assert done.code == 0, done.text
    assert asked == []


def test_no_lesson_that_takes_a_model_is_left_out():
    """The lessons of this file are those that have a parameter ``model``."""
    takes = set()
    for lesson in lessons():
        cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
        source = "".join(
            "".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])
        )
        if re.search(r"^model: str", source, re.MULTILINE):
            takes.add(lesson.name[:2])
    assert takes == {*LESSONS, "03", "04"}
