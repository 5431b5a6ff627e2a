"""When numbers and answers mean nothing: a model that was trained on drawings, and photographs.

The tiny models of the course were trained on small drawn images alone, and they are the default for
every source. One sentence says so wherever their numbers on other images stand: in the lessons, on
the front page, in the terminal.
"""

import html
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from helpers import paths

TRAINED_HERE = "training.json"  # lies beside the weights of every model that the course has made
HUB_MODEL = "openai/clip-vit-base-patch32"
SIGLIP_MODEL = "google/siglip-base-patch16-224"
SUGGESTED = {
    "model": HUB_MODEL,
    "blip2": "Salesforce/blip2-itm-vit-g",
    "generator": "Salesforce/instructblip-vicuna-7b",
}
BENCHMARKS = ("cirr:", "fashioniq:", "circo:")  # the sources of triplets that are photographs
IMAGES = ("source", "cars", "real", "synthetic")  # the parameters that name images


def is_drawn(source: str) -> bool:
    """Whether the images of a source are drawn by the course; of none, they are.

    >>> is_drawn("world:kitchen"), is_drawn("photos/captions.csv")
    (True, False)
    """
    return not source or source.startswith("world:")


def images_of(values: Mapping[str, object]) -> list[str]:
    """Where a lesson's images come from, by its parameters.

    Lesson 09 takes its own ``cars``; in lesson 06 ``real`` goes before ``source``; lessons 07 and 12
    take a drawn source in the place of what has no triplets.
    """
    if "cars" in values:
        return [str(values["cars"])]
    if "real" in values:
        return [str(values["real"] or values.get("source", "")), str(values["synthetic"])]
    source = str(values.get("source", ""))
    return [source] if "blip2" not in values or source.startswith(BENCHMARKS) else []


def trained_on_drawings(model: str) -> bool:
    """Whether a model was trained on drawn images alone: by its name, or what lies beside it."""
    if not model:
        return False
    folders = (paths.tiny() / model, Path(model).expanduser(), paths.root() / model)
    return any((folder / TRAINED_HERE).is_file() for folder in folders)


def without_meaning(values: Mapping[str, object]) -> dict[str, str]:
    """The models among a lesson's parameters that say nothing about its images: name to model.

    Empty where the images are drawn, or no model was trained on drawings.
    """
    if all(map(is_drawn, images_of(values))):
        return {}
    named = {name: str(values.get(name, "")) for name in SUGGESTED}
    return {name: model for name, model in named.items() if trained_on_drawings(model)}


def trains(parameters: Iterable[str]) -> bool:
    """Whether a lesson with such parameters trains, so that they have to suit the model's size."""
    return not {"learning_rate", "learning_rates", "rates"}.isdisjoint(parameters)


def warning(models: Sequence[str], command: str) -> str:
    """The sentence, for all places. Empty where no model is named."""
    if not models:
        return ""
    verb = "was" if len(models) == 1 else "were"
    return (
        "WARNING: these numbers and answers mean nothing for photographs: "
        f"{' and '.join(models)} {verb} trained on small drawn images only, and your images are "
        f"not drawn. Use a model that was trained on photographs: {command}"
    )


def run_command(
    name: str,
    values: Mapping[str, object],
    found: Mapping[str, str],
    *,
    only: Sequence[str] = (),
    for_training: bool = False,
) -> str:
    """The command that runs the same lessons with models that know photographs.

    Parameters
    ----------
    name : str
        Of the run.
    values : mapping
        Parameters that the command keeps.
    found : mapping
        Of :func:`without_meaning`: what is replaced.
    only : sequence of str
        Numbers of the lessons; empty: all.
    for_training : bool
        Whether a lesson trains: the profile ``hub`` has the settings for large models.

    Examples
    --------
    >>> given = {"source": "my photos/captions.csv", "model": "tiny-siglip"}
    >>> run_command("mine", given, {"model": "tiny-siglip"}, only=["03"])
    "course run --name mine --only 03 -p 'source=my photos/captions.csv' -p model=openai/clip-vit-base-patch32"
    """
    better = {one: SUGGESTED[one] for one in found}
    if "model" in better and "cars" in values:  # lesson 09 reads SigLIP alone
        better["model"] = SIGLIP_MODEL
    parts = ["course", "run", "--name", name]
    parts += ["--profile", "hub"] if for_training else []
    parts += ["--only", ",".join(only)] if only else []
    for one, value in {**values, **better}.items():
        parts += ["-p", f"{one}={value}"]
    return shlex.join(parts)


def search_command(where: Sequence[str]) -> str:
    """The command that searches with a model that knows photographs; ``where``: run or zone."""
    return shlex.join(["course", "search", *where, "--build", "--model", HUB_MODEL])


def warn(parameters: Mapping[str, object], lesson: str) -> str:
    """Show the sentence in a lesson, where it holds, and return it for the notes of tables.

    Parameters
    ----------
    parameters : mapping
        The lesson's parameters by name, such as its ``globals()``: what is no parameter is passed
        over.
    lesson : str
        Its number.
    """
    found = without_meaning(parameters)
    if not found:
        return ""
    kept = {one: parameters[one] for one in IMAGES if one in parameters}
    name = Path(str(parameters.get("zone") or "tiny")).name
    command = run_command(name, kept, found, only=[lesson], for_training=trains(parameters))
    said = warning(list(found.values()), command)
    show(said)
    return said


def show(sentence: str) -> None:
    """Display a sentence in a frame; outside of Jupyter, as plain text."""
    from IPython.display import display

    frame = "border: 3px solid #a3262a; padding: 8px 12px; font-weight: bold"
    shown = f'<div style="{frame}">{html.escape(sentence)}</div>'
    display({"text/html": shown, "text/plain": sentence}, raw=True)
