import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import paths
from helpers.store.zones import (
    KeyRefused,
    LocalZone,
    check_key,
    open_zone,
    write_file_atomically,
)

BAD_KEYS = (
    "", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", ".", "..", "a\\b", "C:/x", "c:x",
    "s3://bucket/x", "a\0b", "a\nb", "a\x7fb", "cafe\u0301", "a\ud800",
)  # fmt: skip


@pytest.mark.parametrize("key", BAD_KEYS)
def test_bad_keys_are_refused_by_every_operation(zone, key):
    for operation in (zone.path, zone.read_bytes, zone.exists, zone.remove):
        with pytest.raises(KeyRefused):
            operation(key)
    with pytest.raises(KeyRefused):
        zone.write_bytes(key, b"x")


@pytest.mark.parametrize("key", ["a", "trusted-zone/images/0 7/é.jpg", "a/b:c", ".hidden", "a/..b"])
def test_plain_keys_are_given_back(key):
    assert check_key(key) == key


@given(st.text(st.sampled_from("ab./\\:\0é~ "), max_size=12))
def test_an_accepted_key_stays_below_the_root(key):
    try:
        check_key(key)
    except KeyRefused:
        return
    assert os.path.normpath(f"/r/zone/{key}") == f"/r/zone/{key}"


def test_write_read_list_remove(zone):
    zone.write_bytes("trusted-zone/b/2.bin", b"two")
    zone.write_bytes("trusted-zone/a.txt", "é\r\n".encode())
    zone.write_bytes("other/c", b"")
    zone.write_bytes("trusted-zone/b/3.bin", b"two")
    assert zone.read_text("trusted-zone/a.txt") == "é\r\n"
    assert zone.sizes("trusted-zone/") == {
        "trusted-zone/a.txt": 4, "trusted-zone/b/2.bin": 3, "trusted-zone/b/3.bin": 3,
    }  # fmt: skip
    assert zone.list("trusted-zone/a.txt") == ["trusted-zone/a.txt"]
    assert zone.list("nowhere") == []
    assert zone.exists("other/c")
    assert not zone.exists("other")
    zone.write_bytes("other/c", b"new")
    zone.remove("trusted-zone/b/2.bin")
    assert zone.list("trusted-zone") == ["trusted-zone/a.txt", "trusted-zone/b/3.bin"]
    assert zone.read_bytes("other/c") == b"new"


def test_a_prefix_is_a_folder_and_no_beginning_of_a_name(zone):
    zone.write_bytes("images/a", b"1")
    zone.write_bytes("images-more/a", b"1")
    assert zone.list("images") == ["images/a"]


def test_missing_files_raise(zone):
    for operation in (zone.read_bytes, zone.remove):
        with pytest.raises(FileNotFoundError):
            operation("trusted-zone/none")


def test_a_link_out_of_the_zone_is_refused(tmp_path):
    (tmp_path / "zone").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.txt").write_text("s")
    (tmp_path / "zone" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "zone" / "inner").mkdir()
    (tmp_path / "zone" / "in").symlink_to(tmp_path / "zone" / "inner")
    zone = open_zone(str(tmp_path / "zone"))
    with pytest.raises(KeyRefused, match="through a link"):
        zone.read_bytes("out/s.txt")
    with pytest.raises(KeyRefused, match="through a link"):
        zone.write_bytes("out/new.txt", b"x")
    zone.write_bytes("in/x", b"1")
    assert (tmp_path / "zone" / "inner" / "x").read_bytes() == b"1"
    assert sorted(p.name for p in (tmp_path / "secret").iterdir()) == ["s.txt"]


def test_where_zones_are_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    assert str(open_zone("")) == str(tmp_path / "data" / "zones" / "tiny")
    assert str(open_zone("", name="mine")) == str(paths.zones() / "mine")
    assert str(open_zone("x/y")) == str(tmp_path / "x" / "y")
    assert isinstance(open_zone(str(tmp_path)), LocalZone)
    assert not (tmp_path / "data").exists()
    (tmp_path / "file").write_text("")
    for zone, name, match in (
        ("file", "", "is a file"), ("htp://x", "", "unknown scheme 'htp'"),
        ("", "a/b", "plain name"), ("", "..", "'..'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            open_zone(zone, name=name)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    place = tmp_path / "deep" / "file"
    write_file_atomically(place, b"old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_file_atomically(place, b"new")
    assert [p.name for p in place.parent.iterdir()] == ["file"]
    assert place.read_bytes() == b"old"
