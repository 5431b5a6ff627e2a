"""``course search`` without a model: a stand-in tower, kept rows, every mistake a sentence."""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from helpers.course import cli, search, search_view, thumbnails
from helpers.course.lessons import CourseError
from helpers.store.zones import open_zone
from helpers.topics.serving import pack as packs
from helpers.topics.serving.index import FlatIndex, Space
from helpers.topics.serving.pack import PackError, SearchPack
from helpers.topics.serving.retriever import Retriever

SPACE = Space("stub", "f" * 16, "p", 3)
WORDS = ("soup", "pie", "rice")


class Tower:
    """One axis a word."""

    space, name, dimension = SPACE, "stub", 3

    def texts(self, captions):
        found = [[word in text.lower() for word in WORDS] for text in captions]
        rows = np.add(found, [[0.1, 0.05, 0.02]])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty course."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    return tmp_path


@pytest.fixture
def pack(home):
    zone = open_zone("", name="tiny")
    zone.write_bytes("manifests/pairs.json", b"{}")
    for key, color in (("a/0.png", "red"), ("b/0.png", "green"), ("c/0.png", "blue")):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), color).save(stream, "PNG")
        zone.write_bytes(f"fine-tuning-zone/images/{key}", stream.getvalue())
    index = FlatIndex.of(np.eye(3), ["a/0.png", "b/0.png", "c/0.png"], SPACE)
    cards = {
        f"{letter}/0.png": {"caption": f"a {word}\x1b[31m", "recipe_id": letter, "split": "test"}
        for letter, word in zip("abc", WORDS, strict=True)
    }
    return SearchPack(zone, "stub", "", 1.0, Retriever(Tower(), index, cards), "world:stub")


@pytest.fixture
def opened(pack, monkeypatch):
    monkeypatch.setattr(search, "opened", lambda arguments: pack)
    return pack


def test_an_answer_has_rank_score_caption_and_path(opened, capsys):
    assert cli.main(["search", "hot", "soup", "-k", "2"]) == 0
    out, err = capsys.readouterr()
    assert err == "note: searching with stub without adapter\n"
    lines = out.splitlines()
    assert lines[0].startswith(" 1  0.99")
    assert lines[1] == "    a soup [31m"  # what steers a terminal is gone
    assert lines[2].endswith("fine-tuning-zone/images/a/0.png")
    assert lines[3].startswith(" 2  ")
    assert lines[-1].startswith("2 of 3 images in ")
    assert "\x1b" not in out


def piped(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def test_of_many_questions_the_bad_one_is_named_and_the_others_are_answered(
    opened, capsys, monkeypatch
):
    """Fault 4."""
    piped(monkeypatch, b"soup\n\ncaf\xe9\npie\n")
    assert cli.main(["search", "-k", "1"]) == 2
    done = capsys.readouterr()
    note, line = done.err.splitlines()
    assert note == "note: searching with stub without adapter"
    assert line == "course: line 3: the query 'caf\\xe9' is no readable text: it has to be in UTF-8"
    assert "a soup" in done.out
    assert "a pie" in done.out


def test_json_is_a_line_a_question(opened, capsys, monkeypatch):
    piped(monkeypatch, "\ufeffsoup\n\n  pie \n".encode())
    assert cli.main(["search", "--json", "-k", "1"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["text"], second["text"]) == ("soup", "pie")
    (hit,) = second["hits"]
    assert (hit["id"], hit["rank"], hit["recipe_id"]) == ("b/0.png", 1, "b")
    assert second["provenance"]["model"] == "stub"
    assert second["ms"] > 0


def test_thumbnails_stand_beside_the_text(opened, capsys):
    assert cli.main(["search", "pie", "-k", "1", "--thumbnails", "blocks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == thumbnails.LINES + 1
    assert lines[0].count("48;2;0;128;0m▀") == thumbnails.COLUMNS  # green
    assert " 1  0." in lines[0]
    assert "a pie" in lines[1]


def colors_of(line):
    """Upper and lower color of each half block."""
    found = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀", line)
    return [(tuple(map(int, f[:3])), tuple(map(int, f[3:]))) for f in found]


def test_half_blocks_hold_the_image():
    half = Image.new("RGB", (60, 60), (200, 30, 40))
    half.paste((20, 60, 220), (0, 30, 60, 60))
    lines = [colors_of(line) for line in thumbnails.blocks(half)]
    assert [len(line) for line in lines] == [thumbnails.COLUMNS] * thumbnails.LINES
    assert lines[0][3] == ((200, 30, 40),) * 2
    assert lines[-1][-1] == ((20, 60, 220),) * 2
    wide = [colors_of(line) for line in thumbnails.blocks(Image.new("RGB", (100, 50), "black"))]
    assert wide[0][0][0] == (255, 255, 255)  # the ratio is kept, on white
    assert wide[thumbnails.LINES // 2][0][0] == (0, 0, 0)
    few = thumbnails.blocks(Image.new("RGB", (4, 4), (255, 0, 0)), truecolor=False)
    assert "38;5;196;48;5;196m" in few[0]


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "screen-256color"}, "blocks"),
        ({"TERM": "xterm", "COLORTERM": "24bit"}, "blocks"),
        ({"TERM": "xterm"}, "none"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "none"),
        ({}, "none"),
    ],
)
def test_thumbnails_are_shown_where_the_terminal_has_colors(environment, way):
    assert thumbnails.best_way(environment, terminal=True) == way
    assert thumbnails.best_way(environment, terminal=False) == "none"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["search", "  "], "the question is empty"),
        (
            ["search", "soup", "-k", "0"],
            "'0' is no number of results: give a whole number of 1 or more",
        ),
        (["search", "soup", "-k", "x"], "'x' is no number of results: give a whole number of 1"),
        (["search", "caf\udce9"], r"the query 'caf\xe9' is no readable text"),
        (["search", "--image", "nowhere.png"], r"image nowhere.png cannot be read"),
    ],
)
def test_a_mistake_is_a_sentence(opened, capsys, argv, said):
    assert cli.main(argv) == 2
    assert said in capsys.readouterr().err


def test_a_text_is_no_picture(opened, capsys, tmp_path):
    (tmp_path / "note.png").write_text("hello")
    assert cli.main(["search", "--image", str(tmp_path / "note.png")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_an_unknown_run_and_missing_embeddings_are_named(pack, capsys, monkeypatch):
    assert cli.main(["search", "soup", "--name", "tinyy"]) == 2
    said = capsys.readouterr().err
    assert "no run 'tinyy' to search; did you mean 'tiny'? (there are: tiny)" in said
    assert cli.main(["search", "soup", "--zone", "elsewhere"]) == 2
    assert "elsewhere holds no pairs" in capsys.readouterr().err
    assert cli.main(["search", "soup", "--name", "a/b"]) == 2

    def none_yet(zone, **_):
        raise PackError("no embeddings of tiny-siglip yet: add --build")

    monkeypatch.setattr(packs, "open_pack", none_yet)
    assert cli.main(["search", "soup"]) == 2
    assert "add --build" in capsys.readouterr().err


def test_an_image_opens_the_whole_model_once(pack, monkeypatch, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "q.png")
    loaded = []

    class Whole(Tower):
        def images(self, images):
            return np.eye(3, dtype=np.float32)[[2] * len(images)]

    def load(zone, model, adapter):
        loaded.append((model, adapter))
        return Whole(), 1.0

    monkeypatch.setattr(packs, "open_encoder", load)
    searcher = search.Searcher(pack)
    for _ in range(2):
        found, ms = searcher.answer(search.Question(image=str(tmp_path / "q.png"), k=1))
        assert found.hits[0].id == "c/0.png"
        assert ms > 0
    assert loaded == [("stub", "")]

    def gone(zone, model, adapter):
        raise PackError("its weights are gone")

    monkeypatch.setattr(packs, "open_encoder", gone)
    with pytest.raises(CourseError, match="its weights are gone"):
        search.Searcher(pack).answer(search.Question(image=str(tmp_path / "q.png")))


RUN = "fine-tuning-zone/experiments/lora/run_20260102T101500/adapters"


@pytest.mark.parametrize(
    ("options", "built", "asked", "noted"),
    [
        ([], [("tiny-siglip", "")], ("tiny-siglip", ""), True),
        ([], [("tiny-siglip", ""), ("tiny-siglip", RUN)], ("tiny-siglip", RUN), False),
        ([], [("tiny-siglip", RUN)], ("tiny-siglip", RUN), False),
        ([], [("tiny-clip", "")], ("tiny-clip", ""), False),
        (["--adapter", "none"], [("tiny-siglip", RUN)], ("tiny-siglip", ""), False),
        (["--model", "tiny-clip"], [("tiny-siglip", RUN)], ("tiny-clip", ""), False),
        (["--build"], [], ("tiny-siglip", RUN), False),
        (["--build", "--adapter", "none"], [], ("tiny-siglip", ""), False),
        (["--build", "--model", "tiny-clip"], [], ("tiny-clip", ""), False),
    ],
)
def test_the_adapter_of_the_run_is_used_where_it_has_embeddings(
    pack, monkeypatch, capsys, options, built, asked, noted
):
    """Or where they are made; else the base model answers, and a note says how to have them."""
    base = json.dumps({"base": {"name": "tiny-siglip"}}).encode()
    pack.zone.write_bytes(f"{RUN}/base.json", base)
    made, opened = [], []
    monkeypatch.setattr(packs, "packs_of", lambda zone: sorted(built))
    monkeypatch.setattr(packs, "open_encoder", lambda zone, *names: (names, 0.5))
    monkeypatch.setattr(packs, "ensure_pack", lambda zone, _, **names: made.append(names))

    def open_pack(zone, *, model, adapter):
        opened.append((model, adapter))
        return pack

    monkeypatch.setattr(packs, "open_pack", open_pack)
    assert cli.main(["search", "soup", *options]) == 0
    assert opened == [asked]
    names = [(one["model"], one["adapter"], one["factor"]) for one in made]
    assert names == ([(*asked, 0.5)] if "--build" in options else [])
    there = "note: there is also the adapter lora/run_20260102T101500: add --build once"
    assert (there in capsys.readouterr().err) == noted


def test_the_prompt_remembers_k_and_survives_mistakes(opened, capsys):
    searcher, asked = search.Searcher(opened), []

    def show(question):
        asked.append(question)
        searcher.answer(question)

    question = search.Question()
    for line in ("soup", ":k 3", ":k none", ":image nowhere.png", ":help", "help", "?", "", "pie"):
        question = search._step(line, show, question)
    assert [(q.text, q.image, q.k) for q in asked] == [
        ("soup", "", 5), ("", "nowhere.png", 3), ("pie", "", 3),
    ]  # fmt: skip
    out = capsys.readouterr().out
    assert "'none' is no number" in out
    assert "nowhere.png cannot be read" in out
    assert out.count(search.HELP) == 3


def test_the_prompt_keeps_a_history_and_ends(opened, home, monkeypatch, capsys):
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("hot soup\r:quit\r")
        assert cli.main(["search", "-k", "1"]) == 0
    out = capsys.readouterr().out
    assert "3 images of world:stub, stub" in out
    assert "a soup" in out
    kept = (home / "data" / "cache" / "search_history").read_text()
    assert "+hot soup" in kept


def test_what_is_printed_cannot_steer_the_terminal():
    assert search_view.printable("a\x1b[2Jb\n\tc\u202ed") == "a [2Jb c d"


def test_a_reader_that_has_seen_enough_is_no_error():
    code = "from helpers.course import cli; raise SystemExit(cli.main(['list']))"
    read, write = os.pipe()
    os.close(read)  # nobody listens
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
