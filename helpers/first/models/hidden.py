"""What a vision tower makes of a picture on the way: one pooled vector a layer.

Hooks read the layers while the model runs as always, so adapted models and any attention
implementation are served alike, and nothing about the model changes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from helpers.first.models.encoders import Encoder, Picture
from helpers.first.models.prompts import without_tokens

PATCHES, OUTPUT = "patches", "output"


def hidden_features(
    encoder: Encoder, images: Iterable[Picture], *, batch_size: int = 64, progress: bool = False
) -> dict[str, np.ndarray]:
    """The mean over all patches of each layer of the vision tower, and the embedding.

    Parameters
    ----------
    encoder : Encoder
    images : iterable of PIL.Image.Image or of functions that load one
    batch_size : int
    progress : bool

    Returns
    -------
    dict of str to (n, d) float32
        ``patches`` (what enters the first layer, positions included), ``layer 1`` to ``layer L``,
        and ``output``, the unit rows of :meth:`Encoder.images`. CLIP's class token and the learned
        tokens of a prompt are left out of the means: they are in ``output`` alone.

    Raises
    ------
    ValueError
        If there is no picture.

    Examples
    --------
    >>> features = hidden_features(load_encoder("tiny-siglip"), pictures)  # doctest: +SKIP
    """
    layers = vision_layers(encoder)
    names = [PATCHES, *(f"layer {i + 1}" for i in range(len(layers)))]
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*names, OUTPUT)}
    held: dict[str, torch.Tensor] = {}

    def keep(name: str, states: torch.Tensor) -> None:
        own = without_tokens(states, states.shape[1] - n_tokens(encoder))
        held[name] = own[:, -n_patches(encoder) :].float().mean(dim=1)  # (b, d)

    def enters(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        keep(PATCHES, args[0] if args else kwargs["hidden_states"])

    def leaves(name: str) -> Callable:
        return lambda _module, _args, out: keep(name, out if torch.is_tensor(out) else out[0])

    hooks = [layers[0].register_forward_pre_hook(enters, with_kwargs=True)]
    hooks += [
        layer.register_forward_hook(leaves(name))
        for layer, name in zip(layers, names[1:], strict=True)
    ]
    with removed_after(hooks):
        for output in run_vision(encoder, images, batch_size=batch_size, progress=progress):
            for name in names:
                found[name].append(held.pop(name).cpu().numpy())
            found[OUTPUT].append(F.normalize(output.float(), dim=-1).cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def run_vision(
    encoder: Encoder, images: Iterable[Picture], *, batch_size: int = 64, progress: bool = False
) -> Iterator[torch.Tensor]:
    """The embeddings of each batch, (b, dimension), right after the hooks have seen it.

    Raises
    ------
    ValueError
        If there is no picture.
    """
    stream, total = iter(images), len(images) if isinstance(images, Sequence) else None
    bar = tqdm(total=total, desc=f"reading {encoder.name}", unit="image", disable=not progress)
    seen = 0
    with torch.inference_mode(), bar:
        while batch := list(islice(stream, batch_size)):
            pictures = [picture() if callable(picture) else picture for picture in batch]
            pixels = encoder.pixels(pictures).to(encoder.device, encoder.model.dtype)
            yield encoder.model.get_image_features(pixel_values=pixels).pooler_output
            bar.update(len(batch))
            seen += len(batch)
    if not seen:
        raise ValueError(f"no picture was given to {encoder.name}; give at least one")


def vision_layers(encoder: Encoder) -> list[nn.Module]:
    """The transformer layers of the vision tower, from the first to the last."""
    return list(encoder.model.vision_model.encoder.layers)


def grid_side(encoder: Encoder) -> int:
    """How many patches stand side by side."""
    config = encoder.model.config.vision_config
    return config.image_size // config.patch_size


def n_patches(encoder: Encoder) -> int:
    """How many patches a picture has; they are the last tokens of the tower."""
    return grid_side(encoder) ** 2


def n_tokens(encoder: Encoder) -> int:
    """How many tokens the tower has of its own: patches, and CLIP's class token before them."""
    return n_patches(encoder) + (encoder.family == "clip")


@contextmanager
def removed_after(hooks: Sequence[Any]) -> Iterator[None]:
    """Take hooks off the model at the end, whatever happens."""
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
