"""Options of the pretrainings, and what a checkpoint may take the place of."""

import pytest

from helpers import paths
from helpers.pretraining.command import RECORD, main, obstacle, read_command, replaced


def checkpoint(folder):
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "README.md", RECORD):
        (folder / name).write_text("old")
    return folder


def test_steps_and_folder(tmp_path):
    assert read_command("tiny-clip", []) == (None, paths.tiny() / "tiny-clip")
    given = ["--steps", "3", "--out", str(tmp_path / "a" / "b")]
    assert read_command("tiny-clip", given) == (3, tmp_path / "a" / "b")


def test_new_and_empty_folders_and_checkpoints_are_free(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new" / "x", tmp_path / "empty", checkpoint(tmp_path / "old")):
        assert obstacle(folder) == ""
    assert obstacle(paths.tiny() / "tiny-blip2") == obstacle(paths.tiny() / "tiny-clip") == ""


@pytest.mark.parametrize("model", ["tiny-siglip", "tiny-blip2", "tiny-instructblip"])
def test_what_would_be_lost_is_named_before_anything_is_drawn(tmp_path, capsys, model):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    beside = checkpoint(tmp_path / "old")
    (beside / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("a file")
    for out, named in (
        (tmp_path / "mine", "thesis.txt"), (beside, "notes.txt"),
        (tmp_path / "file", "is a file"), (tmp_path / "file" / "x", "is a file"),
    ):  # fmt: skip
        with pytest.raises(SystemExit, match="2"):
            main([model, "--out", str(out)])
        said = capsys.readouterr().err
        assert "--out" in said
        assert named in said
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_a_checkpoint_is_replaced_whole(tmp_path):
    folder = checkpoint(tmp_path / "old")
    with replaced(folder) as staging:
        (staging / RECORD).write_text("new")
    assert [path.name for path in folder.iterdir()] == [RECORD]
    assert (folder / RECORD).read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_an_error_leaves_the_old_checkpoint(tmp_path):
    folder = checkpoint(tmp_path / "old")
    with pytest.raises(ZeroDivisionError), replaced(folder):
        1 / 0  # noqa: B018
    assert (folder / RECORD).read_text() == "old"


def test_what_came_meanwhile_is_not_deleted(tmp_path):
    folder = tmp_path / "new"

    def write():
        with replaced(folder) as staging:
            (staging / RECORD).write_text("new")
            folder.mkdir()
            (folder / "thesis.txt").write_text("years")

    with pytest.raises(FileExistsError, match=r"thesis\.txt.*move it"):
        write()
    assert (folder / "thesis.txt").read_text() == "years"
    assert (tmp_path / ".new.partial" / RECORD).read_text() == "new"
