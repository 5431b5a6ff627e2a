"""``course search`` without a model: a stand-in tower, kept rows, every mistake a sentence."""

import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from helpers.first import course
from helpers.first.retrieval.index import build_index
from helpers.first.retrieval.retriever import Retriever
from helpers.first.retrieval.search_pack import PackError, SearchPack
from helpers.first.retrieval.space import Space
from helpers.first.runner import search, search_view
from helpers.first.runner.lessons import CourseError
from helpers.store.zones import open_zone

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
def pack(home):
    zone = open_zone("", name="tiny")
    zone.write_bytes("manifests/pairs.json", b"{}")
    for key, color in (("a/0.png", "red"), ("b/0.png", "green"), ("c/0.png", "blue")):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), color).save(stream, "PNG")
        zone.write_bytes(f"fine-tuning-zone/images/{key}", stream.getvalue())
    index = build_index(np.eye(3), ["a/0.png", "b/0.png", "c/0.png"], space=SPACE)
    cards = {
        f"{letter}/0.png": {"caption": f"a {word}\x1b[31m", "recipe_id": letter, "split": "test"}
        for letter, word in zip("abc", WORDS, strict=True)
    }
    return SearchPack(zone, "stub", "", Retriever(Tower(), index, cards), "world:stub")


@pytest.fixture
def opened(pack, monkeypatch):
    monkeypatch.setattr(search, "_pack", lambda arguments: pack)
    return pack


def test_an_answer_has_rank_score_caption_and_path(opened, capsys):
    assert course.main(["search", "hot", "soup", "-k", "2"]) == 0
    out = capsys.readouterr().out
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
    assert course.main(["search", "-k", "1"]) == 2
    done = capsys.readouterr()
    assert (
        done.err
        == "course: line 3: the query 'caf\\xe9' is no readable text: it has to be in UTF-8\n"
    )
    assert "a soup" in done.out
    assert "a pie" in done.out


def test_json_is_a_line_a_question(opened, capsys, monkeypatch):
    piped(monkeypatch, "\ufeffsoup\n\n  pie \n".encode())
    assert course.main(["search", "--json", "-k", "1"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["text"], second["text"]) == ("soup", "pie")
    (hit,) = second["hits"]
    assert (hit["id"], hit["rank"], hit["recipe_id"]) == ("b/0.png", 1, "b")
    assert second["provenance"]["model"] == "stub"
    assert second["ms"] > 0


def test_thumbnails_stand_beside_the_text(opened, capsys):
    assert course.main(["search", "pie", "-k", "1", "--thumbnails", "blocks"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert "48;2;0;128;0m▀" in first  # green
    assert first.endswith("  1  0.986") or "  1  0." in first


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
    assert course.main(argv) == 2
    assert said in capsys.readouterr().err


def test_a_text_is_no_picture(opened, capsys, tmp_path):
    (tmp_path / "note.png").write_text("hello")
    assert course.main(["search", "--image", str(tmp_path / "note.png")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_an_unknown_run_and_missing_embeddings_are_named(pack, capsys, monkeypatch):
    assert course.main(["search", "soup", "--name", "tinyy"]) == 2
    said = capsys.readouterr().err
    assert "no run 'tinyy' to search; did you mean 'tiny'? (there are: tiny)" in said
    assert course.main(["search", "soup", "--zone", "elsewhere"]) == 2
    assert "elsewhere holds no pairs" in capsys.readouterr().err
    assert course.main(["search", "soup", "--name", "a/b"]) == 2

    def none_yet(zone, **_):
        raise PackError("no embeddings of tiny-siglip yet: add --build")

    monkeypatch.setattr("helpers.first.retrieval.search_pack.open_pack", none_yet)
    assert course.main(["search", "soup"]) == 2
    assert "add --build" in capsys.readouterr().err


def test_a_picture_opens_the_whole_model_once(pack, monkeypatch, capsys, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "q.png")
    loaded = []

    class Whole(Tower):
        def images(self, pictures):
            return np.eye(3, dtype=np.float32)[[2] * len(pictures)]

    def load(model, *, adapter):
        loaded.append((model, adapter))
        return Whole()

    fake = SimpleNamespace(load_encoder=load)
    monkeypatch.setitem(sys.modules, "helpers.first.models.loading", fake)
    searcher = search.Searcher(pack)
    for _ in range(2):
        found, ms = searcher.answer(search.Question(image=str(tmp_path / "q.png"), k=1))
        assert found.hits[0].id == "c/0.png"
        assert ms > 0
    assert loaded == [("stub", "")]

    def gone(model, *, adapter):
        raise PackError("its weights are gone")

    fake.load_encoder = gone
    with pytest.raises(CourseError, match="its weights are gone"):
        search.Searcher(pack).answer(search.Question(image=str(tmp_path / "q.png")))


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
        assert course.main(["search", "-k", "1"]) == 0
    out = capsys.readouterr().out
    assert "3 images of world:stub, stub" in out
    assert "a soup" in out
    kept = (home / "data" / "cache" / "search_history").read_text()
    assert "+hot soup" in kept


def test_what_is_printed_cannot_steer_the_terminal():
    assert search_view.printable("a\x1b[2Jb\n\tc\u202ed") == "a [2Jb c d"


def test_a_reader_that_has_seen_enough_is_no_error():
    code = "from helpers.first import course; raise SystemExit(course.main(['list']))"
    read, write = os.pipe()
    os.close(read)  # nobody listens
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
