"""Stanford Cars: the real annotation files, and files that are wrong in some way."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from helpers import paths
from helpers.topics.cars.metadata import BODIES, CarName, CarsError, read_cars, split_name

BOX = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"]
NAMES = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Acura TL Type-S 2008"]


@pytest.fixture(scope="module")
def cars():
    given = os.environ.get("COURSE_REAL_DATA", "")
    base = Path(given) if given else paths.root().parent / "shared" / "real"
    if not (base / "stanford-cars").is_dir():
        pytest.skip(f"no stanford-cars at {base}; COURSE_REAL_DATA names another place")
    return read_cars(base / "stanford-cars")


def test_the_real_files_have_the_published_counts(cars):
    assert cars["split"].value_counts().to_dict() == {"train": 8144, "test": 8041}
    assert cars["name"].nunique() == 196
    for split, counts in cars.groupby("split")["class_id"]:
        assert sorted(set(counts)) == list(range(1, 197)), split


def test_the_first_rows_are_read_by_name(cars):
    """By position, the corners of the box and the class would change places."""
    first = cars.iloc[0]
    assert first.file == "cars_train/00001.jpg"
    assert (first.class_id, first["name"]) == (14, "Audi TTS Coupe 2012")
    assert first[BOX].tolist() == [39, 116, 569, 375]
    test = cars[cars["split"] == "test"].iloc[0]
    assert (test.file, test["name"]) == ("cars_test/00001.jpg", "Suzuki Aerio Sedan 2007")


def test_every_real_name_splits_and_joins_again(cars):
    names = cars["name"].unique()
    parts = [split_name(name) for name in names]
    joined = [" ".join(filter(None, (p.make, p.model, p.body, p.year))) for p in parts]
    assert joined == [name.strip() for name in names]
    assert len({p.make for p in parts}) == 49
    assert {p.body for p in parts} == {"", *BODIES}
    assert all(1991 <= int(p.year) <= 2012 for p in parts)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("AM General Hummer SUV 2000", ("AM General", "Hummer", "SUV", "2000")),
        ("Acura TL Type-S 2008", ("Acura", "TL Type-S", "", "2008")),
        ("Acura Integra Type R 2001", ("Acura", "Integra Type R", "", "2001")),
        ("Audi 100 Wagon 1994", ("Audi", "100", "Wagon", "1994")),
        ("Ford E-Series Wagon Van 2012", ("Ford", "E-Series Wagon", "Van", "2012")),
        ("Ford Ranger SuperCab 2011", ("Ford", "Ranger", "SuperCab", "2011")),
        ("Dodge Ram Pickup 3500 Crew Cab 2010", ("Dodge", "Ram Pickup 3500", "Crew Cab", "2010")),
        ("Infiniti G Coupe IPL 2012", ("Infiniti", "G Coupe IPL", "", "2012")),
        ("Ram C/V Cargo Van Minivan 2012", ("Ram", "C/V Cargo Van", "Minivan", "2012")),
        ("Land Rover LR2 SUV 2012", ("Land Rover", "LR2", "SUV", "2012")),
        ("smart fortwo Convertible 2012", ("smart", "fortwo", "Convertible", "2012")),
    ],
)
def test_names_split_into_parts(name, parts):
    assert split_name(name) == CarName(*parts)


@pytest.mark.parametrize("name", ["", "Audi", "Audi 2012", "Audi TTS Coupe", "Audi SUV 2012"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(CarsError, match=r"no name of a car|no model between"):
        split_name(name)


def annotations(rows, fields=("fname", "class", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")):
    entries = np.empty((1, len(rows)), dtype=[(name, object) for name in fields])
    for i, row in enumerate(rows):
        entries[0, i] = tuple(row[name] for name in fields)
    return {"annotations": entries}


def row(file, label, **changes):
    box = {"bbox_x1": 1, "bbox_y1": 2, "bbox_x2": 30, "bbox_y2": 40}
    return {"fname": file, "class": label, **box, **changes}


def write(folder, train=None, test=None, meta="", names=NAMES, **options):
    (folder / meta).mkdir(exist_ok=True)
    savemat(folder / meta / "cars_meta.mat", {"class_names": np.array([names], dtype=object)})
    rows = {"train": train or [row("00001.jpg", 2)], "test": test or [row("00001.jpg", 1)]}
    for split, file in (("train", "cars_train_annos"), ("test", "cars_test_annos_withlabels")):
        savemat(folder / f"{file}.mat", annotations(rows[split], **options))
    return folder


@pytest.mark.parametrize("meta", ["", "devkit"])
def test_the_names_lie_at_either_place_and_the_fields_in_any_order(tmp_path, meta):
    cars = read_cars(write(tmp_path, train=[row("00001.jpg", 2), row("00002.jpg", 3)], meta=meta))
    assert cars["file"].tolist() == [
        "cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg",
    ]  # fmt: skip
    assert cars["name"].tolist() == [NAMES[1], NAMES[2], NAMES[0]]
    assert cars["body"].tolist() == ["Sedan", "", "SUV"]
    assert cars[BOX].iloc[0].tolist() == [1, 2, 30, 40]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("00001.jpg", 4)], "class 4 is not among 1 to 3"),
        ([row("00001.jpg", 0)], "annotation 1: class: .* greater than or equal to 1"),
        ([row("../00001.jpg", 1)], "annotation 1: fname: "),
        ([row("00001.jpg", 1), row("00001.jpg", 2)], "annotated twice"),
        ([row("00001.jpg", np.array([1, 2]))], "annotation 1: class: "),
        ([row("00001.jpg", 1), row("00002.jpg", "x")], "annotation 2: class: .* valid integer"),
    ],
)
def test_wrong_annotations_are_named(tmp_path, rows, message):
    with pytest.raises(CarsError, match=message):
        read_cars(write(tmp_path, train=rows))


def test_the_file_without_labels_is_refused_with_the_right_one(tmp_path):
    fields = ("fname", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
    with pytest.raises(CarsError, match=r"no field 'class'; take cars_test_annos_withlabels"):
        read_cars(write(tmp_path, fields=fields))


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(CarsError, match=r"cars_meta.mat is neither in"):
        read_cars(tmp_path)
    write(tmp_path)
    whole = (tmp_path / "cars_meta.mat").read_bytes()
    for damaged in (b"", b"no MATLAB file", whole[:100], whole[:-40], bytes(len(whole))):
        (tmp_path / "cars_meta.mat").write_bytes(damaged)
        with pytest.raises(CarsError, match=r"cars_meta.mat"):
            read_cars(tmp_path)
    (tmp_path / "cars_meta.mat").write_bytes(b"not a MATLAB file, " * 20)
    with pytest.raises(CarsError, match=r"cars_meta.mat is no MATLAB file"):
        read_cars(tmp_path)
    savemat(tmp_path / "cars_meta.mat", {"other": np.zeros(3)})
    with pytest.raises(CarsError, match=r"holds no 'class_names'"):
        read_cars(tmp_path)
