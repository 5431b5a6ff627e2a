"""``course watch``: an alarm in words, its record, and one retraining for one alarm."""

import io
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from helpers.course import cli, watch
from helpers.store.zones import open_zone
from helpers.topics.serving.index import FlatIndex, Space
from helpers.topics.serving.pack import SearchPack
from helpers.topics.serving.retriever import Retriever

SPACE = Space("stub", "f" * 16, "p", 8)
KNOWN, NEW = 0, 1  # the group of an image is its red


class Encoder:
    """Images of a group lie around one direction, those of the new one close together."""

    space, name, dimension = SPACE, "stub", 8

    def images(self, images):
        pixels = [image.getpixel((0, 0)) for image in images]
        rows = [self.row(red // 200, 256 * green + blue) for red, green, blue in pixels]
        return np.array(rows, np.float32)

    def row(self, group, number):
        noise = np.random.default_rng(number).normal(size=8)
        row = np.eye(8)[3 * group] + (0.4, 0.05)[group] * noise
        return row / np.linalg.norm(row)

    def texts(self, captions):
        return np.array([self.row(KNOWN, 5000 + i) for i, _ in enumerate(captions)], np.float32)


def image(group, number):
    picture = np.random.default_rng(number).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    picture[0, 0] = (255 * group, *divmod(number, 256))
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A course whose run 'tiny' holds 160 known images, searchable by a stub."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    zone, encoder = open_zone("", name="tiny"), Encoder()
    keys = [f"k/{i}.png" for i in range(160)]
    for i, key in enumerate(keys):
        zone.write_bytes(f"fine-tuning-zone/images/{key}", image(KNOWN, i))
    rows = np.array([encoder.row(KNOWN, i) for i in range(160)])
    cards = {key: {"caption": key} for key in keys}
    retriever = Retriever(encoder, FlatIndex.of(rows, keys, SPACE), cards)
    pack = SearchPack(zone, "stub", "", 1.0, retriever, "world:stub")
    monkeypatch.setattr(watch, "opened", lambda arguments: pack)
    monkeypatch.setattr(SearchPack, "with_images", lambda pack: retriever.with_images(encoder))
    (tmp_path / "captions.csv").write_text("image,caption\na.png,soup\n")
    return tmp_path


def arrive(folder, groups, first=1000):
    """Files whose times are their order, and whose names are the other way round."""
    folder.mkdir(exist_ok=True)
    for i, group in enumerate(groups):
        file = folder / f"{9999 - first - i}.png"
        file.write_bytes(image(group, first + i))
        os.utime(file, (first + i, first + i))


@pytest.fixture
def drifting(home):
    """Eighty known images, then a half of each step is of the new group."""
    arrive(home / "inbox", [KNOWN] * 80 + [KNOWN, NEW] * 30)
    return home / "inbox"


def watched(*options, labeled="captions.csv"):
    argv = ["watch", "inbox", "--per-step", "10", "--streams", "20", *options]
    return cli.main([*argv, "--labeled", labeled] if "--retrain" in options else argv)


def records(home, name="tiny"):
    return [json.loads(path.read_text()) for path in (home / "reports" / name).glob("alarms/*")]


def test_arrivals_like_the_known_have_no_alarm(home, capsys):
    arrive(home / "inbox", [KNOWN] * 100)
    (home / "inbox" / "broken.png").write_text("no image")
    assert watched() == 0
    out, err = capsys.readouterr()
    first, last = out.splitlines()
    assert first.startswith("100 arrivals in 10 steps of 10, beside 160 of 160 known images, stub")
    assert last == "no alarm"
    assert "broken.png is left out" in err
    assert records(home) == []


def test_an_alarm_has_signal_time_and_cause_and_is_recorded(home, drifting, capsys):
    assert watched() == 1
    out = capsys.readouterr().out
    alarm = out.splitlines()[1]
    assert alarm.startswith("ALARM at step ")
    assert "group" in alarm
    assert alarm.endswith("cause: a new group")
    (record,) = records(home)
    step = record["alarm"]["step"]
    assert 8 <= step <= 12
    assert f"ALARM at step {step} (image {10 * step + 10}, of 1970-" in alarm
    named = record["alarm"]["ids"][0]
    assert f"look at {drifting / named}" in out
    assert 9999 - int(named.split(".")[0]) >= 1080  # it came after the change
    assert "to retrain: course run --name retrain-" in out
    assert not list(home.glob("reports/retrain-*"))


def test_the_order_of_names_is_another_stream(home, drifting, capsys):
    """By name the changed images come first, and the alarm with them."""
    assert watched() == watched("--order", "name") == 1
    by_time, by_name = (
        int(line.split()[3]) for line in capsys.readouterr().out.splitlines() if "ALARM" in line
    )
    assert by_name == 7 < by_time


def test_a_retraining_starts_once_for_one_alarm(home, drifting, capsys, monkeypatch):
    """Also where the first is killed, more images arrive, or other labels are given."""
    begun = []

    def killed(command, check):
        assert records(home)  # written before it starts
        begun.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.subprocess, "run", killed)
    assert watched("--retrain") == 130
    (command,) = begun
    name = command[command.index("--name") + 1]
    assert name.startswith("retrain-")
    assert command[-6:] == ["--only", "04", "-p", "source=captions.csv", "-p", "model=stub"]
    assert "retraining: helpers.course.cli run --name" in capsys.readouterr().out
    monkeypatch.setattr(watch.subprocess, "run", lambda *_, **__: pytest.fail("started twice"))
    assert watched("--retrain") == 1
    assert f"started before, into reports/{name}" in capsys.readouterr().out
    arrive(drifting, [KNOWN, NEW] * 15, first=2000)
    (home / "more.csv").write_text("image,caption\nb.png,pie\n")
    assert watched("--retrain", labeled="more.csv") == watched() == 1
    assert len(records(home)) == 1
    assert "started before" in records(home)[0]["done"]


def test_a_retraining_that_fails_is_one_line(home, drifting, capsys, monkeypatch):
    failed = SimpleNamespace(returncode=1)
    monkeypatch.setattr(watch.subprocess, "run", lambda *_, **__: failed)
    assert watched("--retrain") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the retraining ended with code 1; it is not started again" in line


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nowhere"], "no folder of arrivals: nothing is at"),
        (["inbox", "--retrain"], "--retrain needs images with captions"),
        (["inbox", "--labeled", "nowhere.csv"], "--labeled 'nowhere.csv': nothing is at"),
        (["inbox", "--per-step", "0"], "'0' is no whole number"),
        (["inbox", "--false-alarms", "2"], "'2' is no share above 0 and below 1"),
        (["inbox", "--order", "size"], "invalid choice: 'size'"),
        (["inbox", "--per-step", "50"], "2 steps of 50, and 9 are the least: give --per-step 15"),
        (["inbox", "--per-step", "9", "--streams", "9"], "give 20 or more"),
        (["empty"], "holds no readable image"),
    ],
)
def test_a_mistake_is_one_line(home, drifting, capsys, argv, said):
    (home / "empty").mkdir()
    assert cli.main(["watch", *argv]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("course: ")
    assert said in line
