"""Two domains of captioned images: real ones, and synthetic ones of the same or of other items.

Where the synthetic images come from is decided by one name: another captioned source, a diffusers
pipeline that draws an image for each caption, the second style of a procedurally generated source,
or, where nothing is named, a stated rule that changes the real images themselves.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageEnhance, ImageFilter

from helpers import paths
from helpers.data.images import encode_jpeg, load_image, normalise
from helpers.data.pairs import Pairs, ensure_pairs, open_pairs
from helpers.data.sets import LazyImages, RetrievalSet
from helpers.data.sources import open_source
from helpers.data.trusted import folder_name
from helpers.models.checkpoints import Checkpoint, opened
from helpers.repro import hash_of
from helpers.store.artefacts import Writer, ensure
from helpers.store.zones import open_zone

WORLD, PIPELINE, GENERATED = "world:", "model_index.json", "generated"
RULE = "the real images by a rule: smoothed, with 40 % more color and 10 % more contrast"
Load = Callable[[str], Image.Image]


@dataclass(frozen=True)
class Probes:
    """Test images of both domains that are followed, and the item of each."""

    real: list[Image.Image]
    synthetic: list[Image.Image]
    items_real: list[str]
    items_synthetic: list[str]
    keys: list[str]

    @property
    def paired(self) -> bool:
        """Whether image i of both shows the same item."""
        return self.items_real == self.items_synthetic


@dataclass(frozen=True)
class Domains:
    """Real sets (``train``, ``validation``, ``test``) and synthetic ones (``train``, ``test``).

    ``made`` says where the synthetic images come from. ``styled`` gives the synthetic sets for a
    gap below 1, where the images can be moved towards the real ones.
    """

    pairs: Pairs
    real: Mapping[str, RetrievalSet]
    synthetic: Mapping[str, RetrievalSet]
    made: str
    source: str
    styled: Callable[[float], Mapping[str, RetrievalSet]] | None = None

    def at_gap(self, gap: float) -> RetrievalSet:
        """The synthetic training images at a gap from 0 (real) to 1 (as they are)."""
        if gap == 1:
            return self.synthetic["train"]
        if self.styled is None:
            raise ValueError(
                f"gap {gap:g}: synthetic images that were given, or generated, cannot be moved "
                "towards the real ones: leave the gap out"
            )
        return self.styled(gap)["train"]

    def probes(self, n: int, *, seed: int) -> Probes:
        """Up to ``n`` test images of each domain, one an item; of common items where there are."""
        tests, images, items, keys = (self.real["test"], self.synthetic["test"]), [], [], []
        common = sorted(set(tests[0].items) & set(tests[1].items))
        for test in tests:
            named = common if len(common) > 1 else sorted(set(test.items))
            chosen = np.random.default_rng(seed).permutation(named)[:n]
            found, firsts = np.unique(test.image_items, return_index=True)
            rows = sorted(firsts[np.isin(found, chosen)].tolist())
            images.append([test.images[row] for row in rows])
            items.append(test.image_items[rows].tolist())
            keys.append([test.image_keys[row] for row in rows])
        return Probes(*images, *items, keys[0])


def open_domains(
    zone: str, *, source: str, real: str = "", synthetic: str = "", max_recipes: int = 0,
    seed: int = 42, device: str = "cpu",
) -> Domains:  # fmt: skip
    """Open both domains, brought into a zone where they are not there yet.

    ``real`` and ``source`` are captioned sources, of which the first goes before. ``synthetic`` is
    another one (images of an item of the same id are pairs), the folder of a diffusers pipeline, or
    "".
    """
    named = real or source
    pairs = open_pairs(zone, source=named, max_recipes=max_recipes, seed=seed)
    sets = {name: pairs.part(name) for name in ("train", "validation", "test")}
    if synthetic and (paths.find(synthetic) / PIPELINE).is_file():
        load = generated(pairs, paths.find(synthetic), seed=seed, device=device)
        drawn = {name: with_images(one, load) for name, one in sets.items()}
        made = f"by the pipeline {Path(synthetic).name}, an image for each real one, by its caption"
        return Domains(pairs, sets, drawn, made, named)
    if synthetic:
        other = beside(pairs, synthetic, max_recipes=max_recipes, seed=seed)
        parts = {name: other.part(name) for name in ("train", "test")}
        made = f"those of {'/'.join(Path(synthetic).parts[-2:])}"
        return Domains(pairs, sets, parts, made, named)
    is_world = named.startswith(WORLD)

    def styled(gap: float) -> dict[str, RetrievalSet]:
        if is_world:
            style = second_source(named, gap)
            load = open_source(style, max_recipes=max_recipes, seed=seed).load_image
        else:
            load = partial(_restyled, pairs, gap=gap)
        return {name: with_images(one, lambda key: stored(load(key))) for name, one in sets.items()}

    made = "the second style of the drawn images" if is_world else RULE
    return Domains(pairs, sets, styled(1.0), made, named, styled)


def gallery(probes: Probes, *, heading: str) -> Figure:
    """The first images of both domains, real ones above."""
    n = min(6, len(probes.real), len(probes.synthetic))
    fig, axes = plt.subplots(2, n, figsize=(1.45 * n, 3.3), layout="constrained", squeeze=False)
    for ax, image in zip(axes.flat, [*probes.real[:n], *probes.synthetic[:n]], strict=True):
        ax.imshow(image)
        ax.set_axis_off()
    fig.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig


def with_images(data: RetrievalSet, load: Load) -> RetrievalSet:
    """The same items, captions and keys with other images, by their keys."""
    return replace(data, images=LazyImages(data.image_keys, load))


def stored(image: Image.Image) -> Image.Image:
    """An image as the intake stores it: compression must not tell two domains apart."""
    return load_image(encode_jpeg(normalise(image, image_px=512)))


def second_source(source: str, gap: float) -> str:
    """The name of a procedurally generated source in its second style.

    >>> second_source("world:kitchen?px=96", 0.5)
    'world:kitchen?px=96&style=diffusion&style_gap=0.5'
    """
    domain, _, query = source.partition("?")
    if own := sorted({name for name, _ in parse_qsl(query)} & {"style", "style_gap"}):
        raise ValueError(
            f"source {source!r} sets {', '.join(own)} itself: leave it out, both styles are drawn"
        )
    options = [query] if query else []
    return f"{domain}?{'&'.join([*options, 'style=diffusion', f'style_gap={gap:g}'])}"


def _restyled(pairs: Pairs, key: str, *, gap: float) -> Image.Image:
    """An image changed by ``RULE``; ``gap`` mixes it with the image as it is."""
    image = pairs.image(key)
    smooth = image.filter(ImageFilter.GaussianBlur(max(image.size) / 160))
    changed = ImageEnhance.Contrast(ImageEnhance.Color(smooth).enhance(1.4)).enhance(1.1)
    return Image.blend(image, changed, gap)


def beside(pairs: Pairs, source: str, *, max_recipes: int, seed: int) -> Pairs:
    """A second source in a zone beside that of the first, split as the first one is.

    An item of both lies in the same split of both, so that no test item is trained on; an item of
    the second alone is tested on or trained on by its own split.
    """
    form = {name: pairs.intake.manifest.parameters[name] for name in ("image_px", "fit")}
    other = ensure_pairs(
        open_zone(f"{pairs.zone}-synthetic"), source=source, max_recipes=max_recipes, seed=seed,
        split_used=False, **form,
    )  # fmt: skip
    split_of = pairs.all.drop_duplicates("recipe_id").set_index("recipe_id")["split"]
    split = other.all["recipe_id"].map(split_of).fillna(other.all["split"])
    frame = other.all.assign(split=split)
    for name in ("train", "test"):
        if not (frame["split"] == name).any():
            raise ValueError(
                f"synthetic {source!r} has no image in the {name} part of {pairs.source!r}: give "
                "more images, or items of the same ids as the real ones"
            )
    return replace(other, all=frame)


def generated(pairs: Pairs, folder: Path, *, seed: int, device: str = "cpu") -> Load:
    """An image by a diffusers pipeline for each image of the pairs, made where it is missing.

    The prompt is a caption of the item: image j takes caption j, and starts again where captions
    end. Images and prompts lie below ``generated/`` in the zone.
    """
    prompts = []
    for _, part in pairs.all.groupby("recipe_id", sort=False):
        captions = cycle(part["caption"].drop_duplicates())
        prompts += zip(part["image_key"].drop_duplicates(), captions, strict=False)
    rows = pd.DataFrame(prompts, columns=["image_key", "caption"])
    weights = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns)
                     for p in folder.rglob("*") if p.is_file())  # fmt: skip

    def build(writer: Writer) -> None:
        for key, image in _drawn(rows, folder, seed=seed, device=device):
            writer.write_bytes(f"{GENERATED}/{key}", encode_jpeg(image))
        writer.write_text(f"{GENERATED}/captions.csv", rows.to_csv(index=False))

    ensure(
        pairs.zone, GENERATED, kind="generated images",
        parameters={"seed": seed, "prompts": hash_of(rows.to_numpy().tolist())},
        inputs={"pipeline": hash_of(weights)}, build=build, prefixes=(GENERATED,), code="1",
    )  # fmt: skip
    return lambda key: load_image(pairs.zone.read_bytes(f"{GENERATED}/{key}"))


def _drawn(
    rows: pd.DataFrame, folder: Path, *, seed: int, device: str, **options: Any
) -> Iterator[tuple[str, Image.Image]]:
    """Keys and images; each is drawn from its own seed, whatever was drawn before."""
    from diffusers import DiffusionPipeline

    pipeline = opened(
        DiffusionPipeline, Checkpoint(folder.name, folder), what="the pipeline",
        use_safetensors=True, local_files_only=True,
    ).to(device)  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    for row in rows.itertuples():
        generator = torch.Generator().manual_seed(int(hash_of([seed, row.image_key])[:12], 16))
        found = pipeline(prompt=row.caption, generator=generator, output_type="pil", **options)
        yield row.image_key, normalise(found.images[0].convert("RGB"))


def subject_masks(source: str, keys: Sequence[str], *, seed: int) -> list[np.ndarray]:
    """Where the dish is in images of a procedurally generated source, (px, px) bool each.

    Empty where nobody knows: of a source that was not drawn.
    """
    if not source.startswith(WORLD):
        return []
    drawn = open_source(source, seed=seed)
    parts = [key.removesuffix(".jpg").rpartition("-")[2].split("/") for key in keys]
    return [drawn.draw(int(recipe), int(image)).subject for recipe, image in parts]


def given_masks(domains: Domains, folder: str, **options: Any) -> dict[str, np.ndarray]:
    """Masks of watermarks that lie in a folder, by the image key of the zone.

    A mask is an image file (white: watermark) that is named as the image is, below the folder; it
    is cut to a square as the image was. Images without a mask are left out. ``options`` are
    ``max_recipes`` and ``seed``, with which the domains were opened.
    """
    form, base = domains.pairs.intake.manifest.parameters, paths.find(folder)
    form, found = {name: form[name] for name in ("image_px", "fit")}, {}
    files = [path for path in sorted(base.rglob("*")) if path.is_file()]
    below = {path.relative_to(base).with_suffix("").as_posix(): path for path in files}
    named = {path.stem: path for path in files} | below
    for recipe in open_source(domains.source, **options).recipes():
        for n, key in enumerate(getattr(recipe, "images", ())):
            stem = Path(key).with_suffix("")
            if place := named.get(stem.as_posix(), named.get(stem.name)):
                mask = normalise(load_image(place.read_bytes()), **form).convert("L")
                found[f"{folder_name(recipe.recipe_id)}/{n}.jpg"] = np.asarray(mask) > 127
    if not found:
        raise ValueError(
            f"masks {folder!r}: no file there is named as an image of {domains.source!r}; name "
            "each mask as its image, such as soup.png for soup.jpg"
        )
    return found
