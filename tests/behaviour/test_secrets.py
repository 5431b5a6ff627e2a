"""Values are never run, pasted or shown where they must not be: passwords and HTML."""

import json
import shutil

import pytest
from bs4 import BeautifulSoup

from tests.behaviour.conftest import lessons, pattern, run_in, write_captions

SECRET = "topsecret"
CAPTION = "<b>soup</b> & <script>alert('{0}')</script> for $5 or $\\frac{{1}}$ number {0}"
NAMED = "<img src=x onerror=alert(1)>"


def lesson_with(parameter: str) -> str:
    """The first lesson that declares a parameter."""
    for path in lessons():
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            declares = f"\n{parameter}: str" in "\n" + "".join(cell["source"])
            if declares and "parameters" in cell["metadata"].get("tags", ()):
                return path.stem
    raise AssertionError(f"no lesson declares {parameter}")


def holding_the_secret(checkout) -> list[str]:
    """The files of a copy that hold the password, those of the tests aside."""
    files = (p for part in ("reports", "data") for p in (checkout / part).rglob("*") if p.is_file())
    return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("way", ["-p", "-y", "-f"])
@pytest.mark.parametrize(
    ("parameter", "address", "variable"),
    [
        ("database", f"http://root:{SECRET}@127.0.0.1:19530", "MILVUS_TOKEN"),
        ("database", f"root:{SECRET}@127.0.0.1:19530", "MILVUS_TOKEN"),
        ("zone", f"s3://me:{SECRET}@course/x", "MINIO_PASSWORD"),
    ],
)
def test_a_password_in_an_address_is_refused_before_it_is_recorded(
    checkout, tmp_path, way, parameter, address, variable
):
    """Fault 8: every page and record of a run shows its parameters."""
    if way == "-f":
        (tmp_path / "given.yaml").write_text(f"{parameter}: '{address}'\n")
    given = {"-p": f"{parameter}={address}", "-y": f"{parameter}: '{address}'",
             "-f": str(tmp_path / "given.yaml")}[way]  # fmt: skip
    command = ["course", "run", "--name", "secret", "--only", lesson_with(parameter), way, given]
    done = run_in(checkout, command)
    assert done.code == 2, done.text
    assert SECRET not in done.text
    assert variable in done.err
    assert address.partition("@")[2] in done.err
    assert not (checkout / "reports" / "secret").exists()
    assert holding_the_secret(checkout) == []


@pytest.mark.parametrize(
    "command",
    [
        f"course search --zone s3://me:{SECRET}@course/x soup",
        f"course search --zone http://me:{SECRET}@course/x soup",
        f"MINIO_ENDPOINT=http://me:{SECRET}@h MINIO_USER=u MINIO_PASSWORD={SECRET} "
        "course search --zone s3://course/x soup",
        f"MINIO_ENDPOINT=http://127.0.0.1:1 MINIO_USER=u MINIO_PASSWORD={SECRET} "
        "course search --zone s3://course/x soup",
        f"course run --only 99 -p zone=http://me:{SECRET}@h",
        f"course run -p database2=http://me:{SECRET}@h",
        f"course run -p http://me:{SECRET}@h",
        f"course run --name http://me:{SECRET}@h",
        f"course run --jobs http://me:{SECRET}@h",
    ],
)
def test_no_message_shows_a_password(shell, command):
    """Fault 8: whatever else is wrong with the command."""
    done = shell(command)
    assert done.code == 2, done.text
    assert done.err.startswith("course: ")
    assert SECRET not in done.text


@pytest.fixture(scope="module")
def pages(checkout, tmp_path_factory, worker_id):
    """The pages of a run on images whose captions and file are HTML: index and lesson."""
    name = f"markup-{worker_id}"
    folder = tmp_path_factory.mktemp("markup")
    for number in range(30):
        pattern(number).save(folder / f"<i>{number}<i>.png")
    rows = [(f"<i>{i}<i>.png", CAPTION.format(i)) for i in range(30)]
    source = shutil.move(write_captions(folder, rows), folder / f"{NAMED}.csv")
    lesson = next(path.stem for path in lessons() if "baseline" in path.stem)
    done = run_in(checkout, ["course", "run", "--name", name, "--only", lesson,
                             "-p", f"source={source}"])  # fmt: skip
    assert done.code == 0, done.text
    report = checkout / "reports" / name
    return [report / "index.html", report / lesson / "lesson.html"]


def test_what_a_caption_or_a_file_holds_is_shown_as_text(pages):
    """Markup of the user's own data is letters on every page, and starts nothing."""
    whole = []
    for path in pages:
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        assert page("script") == []
        for element in page.find_all(True):
            assert not [name for name in element.attrs if name.startswith("on")], element
            assert element.get("src") != "x"
        whole.append(page.get_text())
    assert NAMED in whole[0]
    assert NAMED in whole[1]
    assert "<b>soup</b> & <script>alert('" in whole[1]
