"""Parameters mean the same in `course run`, papermill and JupyterLab, and are checked first.

Nothing here names a parameter of one lesson where all of them can be asked.
"""

import json
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, Done, lessons, run_in
from .parameters_inputs import DRIVER, cells_of, declared_in, first_cells

LESSONS = lessons()
ALL = [(path, one) for path in LESSONS for one in declared_in(path)]
IDS = [f"{path.stem[:2]}-{one.name}" for path, one in ALL]
NUMBERS = {"int": 3, "float": 0.25, "bool": True}


def notebook(prefix: str) -> Path:
    """A lesson by its number."""
    return next(path for path in LESSONS if path.stem.startswith(prefix))


def tried(
    checkout: Path, trials: list[tuple[Path, dict]], *, cwd: Path | None = None
) -> list[dict]:
    """What the first cells of notebooks make of values."""
    asked = [[str(checkout / "notebooks" / path.name), values] for path, values in trials]
    done = run_in(checkout, [sys.executable, "-c", DRIVER], given=json.dumps(asked), cwd=cwd)
    assert done.code == 0, done.text
    return json.loads(done.out)


def papermill(shell, path: Path, tmp_path: Path, options: str, *, cut: bool = False) -> Done:
    """Plain papermill from the root, on a lesson or on its first cells alone."""
    then = "import json; print(json.dumps({n: globals()[n] for n in __annotations__}))"
    source = first_cells(path, tmp_path / path.name, then=then) if cut else f"notebooks/{path.name}"
    return shell(
        f"papermill {source} {tmp_path / 'out.ipynb'} -p report {tmp_path / 'report'} {options}"
    )


@pytest.fixture(scope="module")
def given(checkout: Path) -> dict[tuple[str, str, str], dict]:
    """What each parameter of each lesson makes of a number, a rate, a year and a list."""
    values = {"3": 3, "1e-4": 1e-4, "2024": 2024, "list": [0.25, 0.75], "default": None}
    trials, keys = [], []
    for path, one in ALL:
        for name, value in values.items():
            keys.append((path.stem, one.name, name))
            trials.append((path, {one.name: one.default if name == "default" else value}))
    return dict(zip(keys, tried(checkout, trials), strict=True))


@pytest.mark.parametrize(("path", "one"), ALL, ids=IDS)
def test_every_parameter_takes_its_own_default(given, path, one):
    """Fault 27: the default, handed over as papermill does, is the default afterwards."""
    found = given[path.stem, one.name, "default"]
    assert found.get("values", {}).get(one.name) == one.default, found


@pytest.mark.parametrize("text", ["3", "1e-4", "2024", "list"])
@pytest.mark.parametrize(("path", "one"), ALL, ids=IDS)
def test_every_parameter_takes_a_value_or_refuses_it_in_a_sentence(given, path, one, text):
    """Faults 27, 28: a value gets the declared type, or the sentence names lesson and parameter."""
    found = given[path.stem, one.name, text]
    if "values" in found:
        value = found["values"][one.name]
        assert type(value).__name__ == one.type, value
        assert one.type != "int" or value in (3, 2024)
        return
    assert found["kind"] not in ("TypeError", "AttributeError", "ValueError", "KeyError"), found
    assert one.name in found["error"]
    assert path.stem in found["error"]
    assert "\n" not in found["error"]


def test_a_list_is_the_text_of_a_list(checkout):
    """Fault 28: a YAML list of papermill, and of `course run -y`."""
    path = notebook("05")
    rates, words = [0.001, 0.003], ["r8 v2", "r4 v1 heads"]
    (found,) = tried(checkout, [(path, {"search_rates": rates, "rows": words})])
    assert found["values"]["search_rates"] == "0.001, 0.003"
    assert found["values"]["rows"] == "r8 v2, r4 v1 heads"
    (found,) = tried(checkout, [(path, {"rank": [8, 16]})])
    assert "'rank' of 05" in found["error"]
    assert "a parameter is one value, and this is a list" in found["error"]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=() if n in (2, 4) else pytest.mark.journey, id=path.stem[:2])
        for n, path in enumerate(LESSONS)
    ],
)
def test_papermill_hands_every_parameter_its_own_default(shell, tmp_path, path):
    """Fault 27: by papermill itself, all parameters of a lesson with -p."""
    declared = [one for one in declared_in(path) if one.name != "report" and one.default != ""]
    options = " ".join(f"-p {one.name} '{one.default}'" for one in declared)
    done = papermill(shell, path, tmp_path, options, cut=True)
    assert done.code == 0, done.text
    (output,) = cells_of(tmp_path / "out.ipynb")[-1]["outputs"]
    values = json.loads("".join(output["text"]))
    assert {one.name: values[one.name] for one in declared} == {
        one.name: one.default for one in declared
    }


REFUSED = [
    ("batch_size 0", "'batch_size' of {lesson} is int, this notebook gives '0': it has to be 1"),
    ("batch_size 1e3", "'batch_size' of {lesson} is int, this notebook gives '1000.0': not an"),
    ("batch_size ten", "'batch_size' of {lesson} is int, this notebook gives 'ten': not an int"),
    ("zone 001", "zone of {lesson} is the number 1, and a text is wanted: papermill's -p drops"),
    ("source 2023", "source '2023' of {lesson}: nothing is at "),
    ("precision fp64", "precision 'fp64' of {lesson} is unknown; use fp32 or bf16"),
]


@pytest.mark.parametrize(("option", "message"), REFUSED, ids=[one[0] for one in REFUSED])
def test_papermill_says_what_course_run_says(shell, tmp_path, option, message):
    """Fault 28: type, range, choice and path, in the lesson's second cell."""
    path = notebook("03")
    done = papermill(shell, path, tmp_path, f"-p {option}")
    assert done.code != 0
    assert message.format(lesson=path.stem) in " ".join(done.text.split())
    ran = [c for c in cells_of(tmp_path / "out.ipynb") if c.get("execution_count")]
    assert len(ran) <= 3  # parameters, those that papermill adds, the check


def test_a_folder_that_is_called_2024_is_a_folder(checkout, patterns):
    """Fault 28."""
    folder = patterns.parent.parent / "numbers"
    (folder / "2024").mkdir(parents=True, exist_ok=True)
    for file in patterns.parent.iterdir():
        (folder / "2024" / file.name).write_bytes(file.read_bytes())
    (folder / "2024" / "captions.csv").rename(folder / "2024" / "metadata.csv")
    (found,) = tried(checkout, [(notebook("03"), {"source": 2024})], cwd=folder)
    assert found["values"]["source"] == str(folder / "2024")


def test_a_path_is_looked_for_where_the_command_was_given_and_below_the_root(checkout, patterns):
    """Fault 19: one meaning for every parameter that is a path, and both places in the message."""
    here = patterns.parent
    (found,) = tried(checkout, [(notebook("03"), {"source": "captions.csv"})], cwd=here)
    assert found["values"]["source"] == str(patterns)
    paths = {
        "source": "03", "model": "03", "augmentation": "02", "other": "04",
        "real": "06", "synthetic": "06", "ratings": "12", "blip2": "07", "generator": "07",
        "transfer": "07", "cars": "09", "adapter": "10", "detector": "11",
        "inpainter": "11", "translator": "11", "arrivals": "13",
    }  # fmt: skip
    trials = [(notebook(number), {name: "./gone/away"}) for name, number in paths.items()]
    for name, found in zip(paths, tried(checkout, trials, cwd=here), strict=True):
        both = f"nothing is at {here / 'gone/away'} or {checkout / 'gone/away'}"
        assert f"{name} './gone/away' of {notebook(paths[name]).stem}: {both}" in found["error"]


def test_the_values_of_every_profile_are_taken(checkout):
    """Fault 22: what a profile says passes the checks that its lessons make."""
    for folder in (path for path in (ROOT / "notebooks" / "profiles").iterdir() if path.is_dir()):
        done = run_in(
            checkout,
            f"course run --profile {folder.name} --name checked-{folder.name} -p n_seeds=0",
        )
        assert done.code == 2
        assert "'n_seeds'" in done.err  # the one mistake of this command, and none of the profile


@pytest.mark.journey
def test_drift_is_asked_for_enough_recipes_in_the_first_cells(checkout, shell, tmp_path):
    """Fault 22: 600 recipes are refused before anything is embedded."""
    path = notebook("13")
    done = papermill(shell, path, tmp_path, "-p drift_recipes 600")
    assert done.code != 0
    said = " ".join(done.text.split())
    assert "drift_recipes is 600: 561 of them are of known dishes and 39 of sushi" in said
    assert "give 1800 or more" in said
    ran = [c for c in cells_of(tmp_path / "out.ipynb") if c.get("execution_count")]
    assert len(ran) <= 3


# Two runs of one seed.


def text_of(path: Path) -> list[str]:
    """What the cells of an executed notebook printed and said."""
    return [
        "".join(output.get("text", ()) or output.get("data", {}).get("text/markdown", ()))
        for cell in cells_of(path)
        for output in cell.get("outputs", ())
    ]


@pytest.mark.journey
def test_the_search_counts_trials_and_follows_the_rates(checkout, shell, patterns):
    """Faults 30, 31: rates around those that were given, and equal searches on every machine."""
    options = (
        f"-p source={patterns} -p rows='r4 v1' -p learning_rate=0.0001 -p steps=4 "
        "-p n_trials=4 -p search_rates=0.00003,0.0003"
    )
    found = []
    for name, threads in (("search-a", "1"), ("search-b", "2")):
        done = shell(
            f"course run --name {name} --only 05 {options}", env={"OMP_NUM_THREADS": threads}
        )
        assert done.code == 0, done.text
        report = next((checkout / "reports" / name).glob("05_*"))
        printed = "\n".join(text_of(report / "lesson.ipynb"))
        assert "Of 4 trials with rates from 3e-05 to 0.0003, the best on validation" in printed
        numbers = json.loads((report / "results.json").read_text(encoding="utf-8"))
        trials = [r for r in numbers if r["metric"].startswith("search trial")]
        assert 1 <= len(trials) <= 4  # one that adapts no layer is not trained
        # hit@10 is n/a in so small a gallery: what is compared are the settings that were drawn
        found.append(
            [(r["model"], r["metric"], r["value"] and round(r["value"], 4)) for r in trials]
        )
    assert found[0] == found[1]
