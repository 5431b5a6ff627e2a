"""What each parameter can be, by its name: ranges of numbers, kinds of texts, what goes together.

A name means the same in every lesson, so one table serves all of them: ``course run`` reads it
before it starts, and each lesson's second cell in whatever way the lesson is run. A relative path
is looked for where the command was given, then below the course's root.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from helpers import paths
from helpers.course.lessons import did_you_mean

SEEDS = 2**32  # NumPy takes seeds below it
BENCHMARKS = ("fashioniq", "cirr", "circo")  # before a colon and a folder: sources of triplets
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*")  # of a store, a database, a service
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Range:
    """A condition on a number, and how it reads after "has to be"."""

    text: str
    holds: Callable[[float], bool]


def at_least(least: int) -> Range:
    """The condition of a number that has to be ``least`` or more."""
    return Range(f"{least} or more", lambda value: value >= least)


LEARNING_RATE = Range("above 0, such as 0.001", lambda value: value > 0)
UP_TO_ONE = Range("above 0 and at most 1", lambda value: 0 < value <= 1)
OPEN_SHARE = Range("above 0 and below 1", lambda value: 0 < value < 1)
LAYERS = Range("a number of layers, 0 for none or -1 for all", lambda value: value >= -1)
RANGES = {
    **dict.fromkeys(
        ["max_recipes", "learning_rate", "distill", "copies", "marked_recipes", "n_recipes",
         "linear_rate", "pull", "unfreeze_steps", "unfreeze_rate"], at_least(0)),
    **dict.fromkeys(
        ["image_px", "batch_size", "epochs", "rank", "steps", "n_queries", "margin_steps",
         "n_trials", "collapse_steps", "generator_steps"], at_least(1)),
    **dict.fromkeys(
        ["labelled", "samples", "batch_samples", "n_streams", "per_step", "dimensions",
         "n_annotated", "n_pool", "n_validation", "n_pairs", "qformer_steps"], at_least(2)),
    **dict.fromkeys(["test_share", "false_alarms"], OPEN_SHARE),
    **dict.fromkeys(["vision_layers", "text_layers"], LAYERS),
    "n_probes": at_least(4),
    "rescored": at_least(10),
    "limit_streams": at_least(20),
    "gallery_rows": at_least(1000),
    "seed": Range(f"from 0 to {SEEDS - 1}", lambda value: 0 <= value < SEEDS),
    "alpha": Range("above 0", lambda value: value > 0),
    "factor": Range("above 0 and at most 1.25", lambda value: 0 < value <= 1.25),
    "margin": Range("from -1 to 1", lambda value: -1 <= value <= 1),
    "recall": UP_TO_ONE,
    "drift_recipes": at_least(500),  # fewer hold no stream; the lesson asks how many it needs
    "n_test": Range("2 or more, or 0 for all", lambda value: value == 0 or value >= 2),
}  # fmt: skip


def out_of_range(name: str, value: object) -> str:
    """What a number of this name has to be, where ``value`` is not that; else an empty text.

    >>> out_of_range("rank", -3), out_of_range("rank", 8)
    ('1 or more', '')
    """
    known = RANGES.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return known.text if known and number and not known.holds(value) else ""


@dataclass(frozen=True)
class Text:
    """Any text.

    ``separator`` is what parts of a list stand between; empty: the parameter is one value.
    """

    separator: str = ""

    def parts(self, text: str) -> list[str]:
        """The parts of a list, without spaces around them."""
        return [part.strip() for part in text.split(self.separator) if part.strip()]

    def problem(self, text: str) -> str:
        """What follows "parameter 'value' of lesson" where it cannot be that; empty: it can."""
        return ""

    def settled(self, text: str) -> str:
        """The text as it is kept: a path means the same later."""
        return text

    def missing(self, text: str) -> str:
        """Why what the text names cannot be used here and now; empty: it can."""
        return ""


@dataclass(frozen=True)
class Words(Text):
    """One of some words, or a list of them; ``least`` is how many there have to be."""

    options: tuple[str, ...] = ()
    pattern: str = r"(?!)"  # of what is taken beside the options
    least: int = 1

    def problem(self, text: str) -> str:
        """The first word that is none of them."""
        words = self.parts(text) if self.separator else [text]
        *first, last = self.options
        use = f"{', '.join(first)} or {last}" if first else last
        use = f"some of {f'{self.separator} '.join(self.options)}" if self.separator else use
        for word in words:
            if word not in self.options and not re.fullmatch(self.pattern, word):
                which = f": {word!r}" if self.separator else ""
                hint = INSTEAD.get(word) or did_you_mean(word, self.options)
                return f"{which} is unknown; use {use}{hint}"
        return "" if len(words) >= self.least else f" is empty; use {use}"


@dataclass(frozen=True)
class Numbers(Text):
    """A list of numbers, each in a range; ``exactly`` is how many, if not 0."""

    separator: str = ","
    each: Range = LEARNING_RATE
    whole: bool = False
    exactly: int = 0

    def problem(self, text: str) -> str:
        """The first part that is no such number."""
        found, kind = self.parts(text), "whole numbers" if self.whole else "numbers"
        many = f"{self.exactly} {kind}" if self.exactly else kind
        form = f"give {many} with commas, each {self.each.text}"
        if not found or (self.exactly and len(found) != self.exactly):
            return f": {form}; it has {len(found)}"
        plain = r"\d+" if self.whole else r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
        for part in found:
            if not re.fullmatch(plain, part) or not self.each.holds(float(part)):
                return f": {part!r} will not do; {form}"
        return ""


def nothing_at(text: str) -> str:
    """That nothing is at a path, in each place that it was looked for in."""
    return f"nothing is at {' or '.join(map(str, paths.places(text)))}"


@dataclass(frozen=True)
class Place(Text):
    """A path: of a file, of a folder, or, with ``new``, of something that is yet to be made."""

    kind: str = "folder"
    new: bool = False

    def settled(self, text: str) -> str:
        """The path from the root, or whole where it lies elsewhere."""
        if not text or ADDRESS.fullmatch(text):
            return text
        found = paths.fresh(text) if self.new else paths.find(text)
        return paths.portable(found) if self.new or found.exists() else text

    def missing(self, text: str) -> str:
        """That nothing is there, with both places; or that it is something else."""
        if not text or ADDRESS.fullmatch(text):
            return ""
        found = paths.find(text)
        if not found.exists():
            return "" if self.new else nothing_at(text)
        if found.is_dir() == (self.kind == "folder"):
            return ""
        return f"{found} is {'a file' if found.is_file() else 'a folder'}; a {self.kind} is wanted"


def path_in(source: str) -> tuple[str, str, str]:
    """The path in a source, with what stands before and after it: a benchmark, a category.

    >>> path_in("cirr:photos#dress"), path_in("world:kitchen")
    (('cirr:', 'photos', '#dress'), ('', '', ''))
    """
    kind, _, place = source.partition(":")
    if kind in BENCHMARKS and place:
        place, mark, rest = place.partition("#")
        return f"{kind}:", place, mark + rest
    return ("", "", "") if source.startswith("world:") else ("", source, "")


@dataclass(frozen=True)
class Source(Text):
    """A source of recipes, cars or triplets: a drawn world, a benchmark's folder, a path.

    With ``domain`` it may be empty or the folder of a pipeline that generates images.
    """

    domain: bool = False

    def settled(self, text: str) -> str:
        """The same with its path settled."""
        kind, place, rest = path_in(text)
        found = paths.find(place) if place else None
        return f"{kind}{paths.portable(found)}{rest}" if found and found.exists() else text

    def missing(self, text: str) -> str:
        """What ``open_source`` would say of it, before it reads any record."""
        kind, place, _ = path_in(text)
        found = paths.find(place)
        if self.domain and (not text or (found / "model_index.json").is_file()):
            return ""
        if place and not found.exists():
            beside = [found.parent, paths.places(place)[0].parent]
            names = [p.name for folder in beside if folder.is_dir() for p in folder.iterdir()]
            hint = did_you_mean(found.name, names)
            else_ = "; give a file or folder that is there, or world:kitchen"
            return nothing_at(place) + (hint or else_)
        cars = any((folder / "cars_meta.mat").is_file() for folder in (found, found / "devkit"))
        if kind or (place and cars):  # read by their lessons themselves
            return ""
        from helpers.data.sources import check_source

        try:
            check_source(text)
        except ValueError as error:
            return str(error).removeprefix(f"source {text!r}: ")
        return ""


@dataclass(frozen=True)
class Model(Text):
    """A model: a word of its own, a tiny checkpoint, a folder, or an id of the hub."""

    words: tuple[str, ...] = ()
    address: bool = False  # whether it may lie behind an address of the web

    def _known(self, text: str) -> bool:
        tiny = bool(text) and (paths.tiny() / text).is_dir()
        return tiny or text in self.words or (self.address and bool(ADDRESS.fullmatch(text)))

    def settled(self, text: str) -> str:
        """A folder's path settled; names stay."""
        found = None if not text or self._known(text) else paths.find(text)
        return paths.portable(found) if found and found.is_dir() else text

    def missing(self, text: str) -> str:
        """That no model is there, or that the folder is none."""
        if self._known(text):
            return ""
        found = paths.find(text)
        if text and found.is_dir():
            whole = any((found / n).is_file() for n in ("config.json", "model_index.json"))
            return "" if whole else f"the folder {found} holds no model: it has no config.json"
        if HUB_ID.fullmatch(text):
            return ""
        names = (*self.words, *sorted(p.name for p in paths.tiny().glob("tiny-*")))
        where = nothing_at(text) if "/" in text else f"there is no model {text!r}"
        use = f"{where}; use {', '.join(names)}, a folder, or a hub id as owner/name"
        return use + (did_you_mean(text, names) if text else "")


METHODS = ("lora", "dora", "rslora")
ALL_METHODS = (
    *METHODS, "qlora", "prompt", "full", "pissa", "loha", "lokr", "oft", "hra", "vera", "ia3",
    "biases", "norms", "rla", "prolip",
)  # fmt: skip
INSTEAD = {
    "baseline": "; it trains nothing, and lesson 03 measures the baseline: course run --only 03",
}
ROW = r"(r\d+|a\d+(\.\d+)?|[vt](\d+|all)|heads|(q|k|v|o|f1|f2)+|d\d*\.?\d+|{methods})"
ROW = ROW.replace("{methods}", "|".join(ALL_METHODS))
QUERIES = Words(
    options=("rules", "ADDRESS#MODEL such as http://127.0.0.1:11434/v1#qwen2.5:14b"),
    pattern=r"https?://[^#\s]+#\S+",
)
MIXTURE = r"(\d+ real)?( \+ )?(\d+ synthetic( gap (0?\.\d+|[01]))?)?( watermarked)?(?<=.)"
TEXTS: Mapping[str, Text] = {
    **dict.fromkeys(["source", "other", "replay", "transfer", "cars"], Source()),
    **dict.fromkeys(["real", "synthetic"], Source(domain=True)),
    **dict.fromkeys(["zone", "report"], Place(new=True)),
    **dict.fromkeys(["masks", "adapter", "arrivals"], Place()),
    **dict.fromkeys(["augmentation", "ratings"], Place(kind="file")),
    **dict.fromkeys(["model", "second", "blip2", "generator"], Model()),
    **dict.fromkeys(["translator_model", "query", "labeled"], Text()),
    **dict.fromkeys(["query_writer", "query_judge"], QUERIES),
    "database": Place(kind="file", new=True),
    "detector": Model(words=("fitted",)),
    "translator": Model(words=("glossary",), address=True),
    "inpainter": Model(words=("navier-stokes", "telea")),
    "device": Words(options=("auto", "cpu", "cuda", "mps"), pattern=r"cuda:\d+"),
    "precision": Words(options=("fp32", "bf16")),
    "fit": Words(options=("crop", "pad", "stretch")),
    "marks": Words(options=("auto", "drawn", "none", "found")),
    "negatives": Words(options=("random", "hard", "none")),
    "method": Words(options=METHODS),
    "05.method": Words(options=ALL_METHODS),
    "05.run_study": Words(",", options=("placement", "leaderboard"), least=0),
    "modules": Words(",", options=("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")),
    "conditions": Words(",", options=("none", "images", "texts", "both")),
    "rows": Words(
        ",", options=("original", "names such as r4 v3 heads", "a .yaml file"),
        pattern=rf"{ROW}( {ROW})*|.+\.ya?ml",
    ),
    "search_rates": Numbers(exactly=2),
    "mixtures": Words(",", options=("100 real", "25 real + 75 synthetic"), pattern=MIXTURE),
    "opacity": Numbers(each=UP_TO_ONE, exactly=2),
    "batch_sizes": Numbers(each=at_least(2), whole=True),
}  # fmt: skip


def rule_of(name: str, lesson: str = "") -> Text:
    """The rule of a parameter of a lesson; any text where the table has none.

    >>> rule_of("method", "05_placement_study").options[-1]
    'prolip'
    """
    return TEXTS.get(f"{lesson[:2]}.{name}") or TEXTS.get(name) or Text()


def conflict(values: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """The parameters of a lesson that do not go together, and what to give; or nothing."""
    v = values
    heads_alone = v.get("method") == "full" and v.get("heads")
    if v.get("vision_layers") == v.get("text_layers") == 0 and not heads_alone:
        remedy = "an adapter needs a layer: give one of them 1 or more, or -1 for all"
        return ("vision_layers", "text_layers"), remedy
    if "epochs" in v and v.get("batch_size", 2) < 2:
        remedy = "a batch of one pair has no negatives: give batch_size 2 or more"
        return ("batch_size", "epochs"), remedy
    if "augmentation" in v and (wrong := _augmentation(v["augmentation"])):
        return ("augmentation",), wrong
    for size, samples in (("batch_size", "samples"), ("batch_sizes", "batch_samples")):
        if size in v and samples in v:
            most = max(map(int, str(v[size]).split(",")))
            if v[samples] < most:
                return (
                    size,
                    samples,
                ), f"a step takes {most} pairs: give {samples} at least as many"
    return (), ""


def _augmentation(file: str) -> str:
    """What is wrong with a file of augmentation; empty: nothing."""
    from helpers.topics.augmentation.config import ConfigError, load_config

    try:
        load_config(file)
    except ConfigError as error:
        return str(error)
    return ""
