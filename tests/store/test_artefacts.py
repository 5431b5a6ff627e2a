import json
from dataclasses import replace

import pytest

from helpers.repro import typed
from helpers.store import artefacts
from helpers.store.artefacts import (
    ArtefactError,
    code_of,
    ensure,
    examine,
    read_manifest,
    verify,
)

PREFIXES = ("trusted-zone/images", "trusted-zone/list.csv")
IMAGE, LIST = "trusted-zone/images/7/0.jpg", "trusted-zone/list.csv"
SAME = {"parameters": {"px": 64, "shares": (1, 2)}, "inputs": {"source": "abc"}, "code": "c1"}


def _build(writer):
    writer.write_bytes(IMAGE, b"image")
    writer.write_text(LIST, "é")


def _ensure(zone, build=_build, **changes):
    return ensure(zone, "a", kind="test", build=build, prefixes=PREFIXES, **{**SAME, **changes})


def _state(zone, **changes):
    wanted = json.loads(json.dumps({**SAME, **changes}))
    return examine(zone, "a", prefixes=PREFIXES, **wanted)[0]


def _never(writer):
    raise AssertionError("built again")


class Killed(BaseException):
    """Ends a build as a signal would."""


def _killed(writer):
    writer.write_bytes(IMAGE, b"half")
    writer.write_bytes("trusted-zone/images/left/over.jpg", b"x")
    raise Killed


def test_missing_is_built_once_then_fresh(zone):
    assert _state(zone) == "missing"
    manifest = _ensure(zone)
    assert _state(zone) == "fresh"
    assert _ensure(zone, _never) == manifest == read_manifest(zone, "a")
    assert {key: record.size for key, record in manifest.files.items()} == {IMAGE: 5, LIST: 2}
    assert verify(zone, "a") == []
    assert set(zone.list("manifests")) - {"manifests/a.lock"} == {"manifests/a.json"}


@pytest.mark.parametrize(
    "change", [{"parameters": {"px": 32}}, {"inputs": {"source": "new"}}, {"code": "c2"}]
)
def test_a_change_makes_it_stale_and_old_files_go(zone, change):
    _ensure(zone, lambda w: (_build(w), w.write_bytes("trusted-zone/images/old.jpg", b"o")))
    assert _state(zone, **change) == "stale"
    _ensure(zone, **change)
    assert zone.list("trusted-zone") == [IMAGE, LIST]
    assert _state(zone, **change) == "fresh"


def test_a_killed_build_is_known_and_done_again(zone):
    with pytest.raises(Killed):
        _ensure(zone, _killed)
    assert _state(zone) == "interrupted"
    _ensure(zone)
    assert zone.list("trusted-zone") == [IMAGE, LIST]
    assert zone.read_bytes(IMAGE) == b"image"


def test_a_killed_rebuild_is_not_taken_for_the_old_artefact(zone):
    _ensure(zone)
    with pytest.raises(Killed):
        _ensure(zone, _killed, code="c2")
    assert _state(zone) == "interrupted"
    _ensure(zone)
    assert verify(zone, "a") == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("after_a_build", [False, True])
def test_a_build_that_ends_takes_back_what_it_wrote(zone, error, after_a_build):
    def ended(writer):
        writer.write_bytes(IMAGE, b"half")
        raise error

    if after_a_build:
        _ensure(zone)
    with pytest.raises(error):
        _ensure(zone, ended, code="c2")
    assert zone.list("trusted-zone") == []
    assert set(zone.list("manifests")) <= {"manifests/a.lock"}
    assert _state(zone) == "missing"


def test_a_build_that_is_refused_before_it_wrote_leaves_the_old_artefact(zone):
    def refused(writer):
        raise ValueError("no")

    _ensure(zone)
    with pytest.raises(ValueError, match="no"):
        _ensure(zone, refused, code="c2")
    assert _state(zone) == "fresh"
    assert verify(zone, "a") == []


def test_a_marker_says_by_which_command(zone, monkeypatch):
    typed = "course run -p database=http://root:secret@127.0.0.1:1"
    monkeypatch.setattr(artefacts.repro, "this_command", lambda: typed)
    with pytest.raises(Killed):
        _ensure(zone, _killed)
    assert artefacts.command_of(zone, "a") == "course run -p database=http://127.0.0.1:1"
    assert b"secret" not in zone.read_bytes("manifests/a.building")
    zone.write_bytes("manifests/a.building", b"[]")
    assert artefacts.command_of(zone, "a") == ""


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["python", "/env/bin/course", "search", "--build", "a soup"],
         "course search --build 'a soup'"),
        (["python3", "-m", "papermill", "a.ipynb"], "papermill a.ipynb"),
        (["course.exe", "run", "-p", "zone=a b"], "course run -p 'zone=a b'"),
        (["python", "-m", "ipykernel_launcher", "-f", "course"], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_what_was_typed(arguments, command):
    assert typed(arguments) == command


@pytest.mark.parametrize("after_a_build", [False, True])
def test_foreign_files_are_refused_and_kept(zone, after_a_build):
    if after_a_build:
        _ensure(zone)
    zone.write_bytes("trusted-zone/images/mine.jpg", b"precious")
    assert _state(zone) == "foreign"
    with pytest.raises(ArtefactError, match=r"images/mine\.jpg.*came from elsewhere"):
        _ensure(zone, code="c2")
    assert zone.read_bytes("trusted-zone/images/mine.jpg") == b"precious"


def test_litter_of_desktops_and_neighbors_are_no_matter(zone):
    _ensure(zone)
    for key in ("images/.DS_Store", "images/Thumbs.db", "list.csv2", "images2/x"):
        zone.write_bytes(f"trusted-zone/{key}", b"x")
    assert _state(zone) == "fresh"


def test_a_changed_file_is_refused_by_name_and_its_removal_heals(zone):
    _ensure(zone)
    zone.write_bytes(IMAGE, b"tampered")
    assert _state(zone) == "corrupt"
    with pytest.raises(ArtefactError, match=r"7/0\.jpg' has 8 bytes, 5 were written; delete it"):
        _ensure(zone)
    zone.remove(IMAGE)
    assert _state(zone) == "missing"
    _ensure(zone)
    assert verify(zone, "a") == []


def test_verify_finds_what_sizes_do_not_show(zone):
    _ensure(zone)
    zone.write_bytes(IMAGE, b"IMAGE")
    zone.remove(LIST)
    assert [problem.split(":")[0] for problem in verify(zone, "a")] == [IMAGE, LIST]
    assert "differ" in verify(zone, "a")[0]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', None])
def test_a_broken_manifest_is_corrupt(zone, text):
    _ensure(zone)
    if text is None:
        text = json.dumps({**json.loads(zone.read_text("manifests/a.json")), "schema": 99})
    zone.write_bytes("manifests/a.json", text.encode())
    assert _state(zone) == "corrupt"
    with pytest.raises(ArtefactError, match=r"manifests/a\.json"):
        _ensure(zone)


def test_a_writer_keeps_to_its_own_files(zone):
    with pytest.raises(ArtefactError, match="outside"):
        _ensure(zone, lambda w: w.write_bytes("trusted-zone/other", b"x"))
    with pytest.raises(ArtefactError, match="twice"):
        _ensure(zone, lambda w: (_build(w), _build(w)))


def test_the_fingerprint_is_of_content_not_of_time(zone):
    manifest = _ensure(zone)
    later = replace(manifest, created="2001-01-01", versions={}, code="other")
    assert later.fingerprint == manifest.fingerprint
    for change in ({"kind": "x"}, {"inputs": {"source": "z"}}, {"parameters": {}}, {"files": {}}):
        assert replace(manifest, **change).fingerprint != manifest.fingerprint


def test_whoever_waits_for_the_lock_finds_the_work_done(local_zone, monkeypatch):
    real = artefacts.held

    def held_after_another(path, *, what):
        monkeypatch.setattr(artefacts, "held", real)
        _ensure(local_zone)
        return real(path, what=what)

    monkeypatch.setattr(artefacts, "held", held_after_another)
    assert _ensure(local_zone, _never).files


def test_a_change_of_the_package_makes_stale_unless_code_is_given(local_zone, monkeypatch):
    def built():
        seen = []
        more = {"parameters": {}, "inputs": {}, "build": seen.append, "prefixes": ()}
        ensure(local_zone, "b", kind="t", **more)
        return bool(seen)

    assert [built(), built()] == [True, False]
    monkeypatch.setattr(artefacts.repro, "code_fingerprint", lambda: "changed")
    assert [built(), built()] == [True, False]


def test_code_of_follows_the_named_modules():
    assert code_of("helpers.paths") == code_of("helpers.paths")
    assert len({code_of("helpers.paths"), code_of("helpers.repro"), code_of("helpers")}) == 3
