"""Training and encoding from kept prefixes: what the frozen layers make of an item, computed once.

With an adapter on the last k layers the layers below are a constant of the picture or the caption.
They run once for each, their output is kept on disk, and a step runs the rest: same losses, same
gradients, a fraction of the work. What is kept is named by the content of the picture as the model
sees it (or the tokens), by the frozen weights and by the cut, and not by the run: all rows of a
study that cut a tower in one place share it, their seeds too.

In ``fp32`` the numbers are those of the plain loop to the last few bits. In ``bf16`` the prefix
runs under autocast and its output is rounded: half the disk, other numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from helpers.first.models.encoders import Encoder, Picture
from helpers.first.models.placement import Placement
from helpers.first.models.prefix import PrefixError, SplitTower, Texts, cuts_of, trimmed
from helpers.first.training.pairs import TrainingPairs, resized
from helpers.first.training.prefix_states import How, gathered, image_states, text_states
from helpers.first.training.towers import Towers, towers_of

__all__ = ["PrefixError", "build_prefixes", "prefix_encoder", "prefix_towers", "why_not"]

METHODS = ("lora", "dora", "rslora", "qlora", "prompt")  # all leave the layers below as they are


def why_not(
    placement: Placement, *, augment: bool = False, method: str = "", encoder: Encoder | None = None
) -> str:
    """Why the prefixes of a placement cannot be kept; empty where they can.

    Parameters
    ----------
    placement : Placement
    augment : bool
        Whether pictures are augmented at run time.
    method : str
        How the model is adapted, where it is not ``placement.method``.
    encoder : Encoder, optional
        With it the model is asked too: its depth, its own dropout.

    Examples
    --------
    >>> why_not(Placement(vision_layers=2, text_layers=0))
    ''
    """
    method = method or placement.method
    if method not in METHODS:
        return f"method {method!r} may change the layers below the adapted ones"
    if augment:
        return "pictures are augmented at run time, so that no two steps see the same prefix"
    cuts = {"vision": -1 - placement.vision_layers, "text": -1 - placement.text_layers}
    if encoder is not None:
        cuts = cuts_of(placement, encoder)
        for tower in cuts:
            part = getattr(encoder.model.config, f"{tower}_config")
            if part.attention_dropout:
                return f"the {tower} tower has dropout {part.attention_dropout} in its frozen part"
        if encoder.precision != "fp32":
            return f"{encoder.name} is open in {encoder.precision}: open it in fp32"
    if not any(cuts.values()):
        return "both towers are adapted from their first layer: nothing below is frozen"
    return ""


def prefix_towers(
    encoder: Encoder,
    pairs: TrainingPairs,
    placement: Placement,
    *,
    precision: str = "fp32",
    folder: Path | None = None,
    progress: bool = True,
) -> Towers:
    """Towers for ``train(..., towers=)`` that start from kept prefixes.

    A tower that is adapted from its first layer has none: it runs whole, from pixels or tokens.

    Parameters
    ----------
    encoder : Encoder
        Adapted as ``placement`` says.
    pairs : TrainingPairs
    placement : Placement
    precision : str
        ``fp32`` or ``bf16``: how prefixes are computed and kept.
    folder : Path, optional
        Where they are kept; default ``data/cache/prefix``.
    progress : bool

    Raises
    ------
    PrefixError
        If :func:`why_not` has a reason, if a parameter below the cut is trained, or if the kept
        files cannot be used.

    Examples
    --------
    >>> towers = prefix_towers(adapted.encoder, ready, adapted.placement)  # doctest: +SKIP
    >>> train(adapted.encoder, ready, settings, towers=towers)  # doctest: +SKIP
    """
    _refuse(why_not(placement, encoder=encoder))
    cuts, plain = cuts_of(placement, encoder), towers_of(encoder, pairs)
    how = How(precision, folder, training=True, progress=progress)
    images, texts = SplitTower(encoder, "vision"), SplitTower(encoder, "text")
    for tower in (images, texts):
        _require_frozen(tower, cuts[tower.name])
    device, image_cut, text_cut = encoder.device, cuts["vision"], cuts["text"]
    kept_images = image_states(images, pairs.pixels, [image_cut], how) if image_cut else None
    kept_texts = text_states(texts, pairs.tokens, [text_cut], how) if text_cut else None

    def gather_images(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if kept_images is None:
            return plain.gather_images(rows, generator)
        return gathered(images, kept_images[0], image_cut, rows)

    def encode_images(found: torch.Tensor) -> torch.Tensor:
        if kept_images is None:
            return images.whole(found)
        return images.suffix(found, image_cut, None)

    def gather_texts(rows: torch.Tensor) -> tuple[torch.Tensor | None, Texts]:
        some = trimmed({name: ids[rows] for name, ids in pairs.tokens.items()}, encoder)
        if kept_texts is None:
            return None, some.to(device)
        return gathered(texts, kept_texts[0], text_cut, rows), some.to(device)

    def encode_texts(found: tuple[torch.Tensor | None, Texts]) -> torch.Tensor:
        states, some = found
        return texts.whole(some) if states is None else texts.suffix(states, text_cut, some)

    return Towers(gather_images, encode_images, gather_texts, encode_texts)


def build_prefixes(
    encoder: Encoder,
    pairs: TrainingPairs,
    placements: Iterable[Placement],
    *,
    precision: str = "fp32",
    folder: Path | None = None,
    progress: bool = True,
) -> None:
    """Compute the prefixes of all rows of a study in one pass over its pictures and captions.

    Without it each row computes what no row before it has; a deeper cut then starts again from the
    pixels. Quantised models (``qlora``) have prefixes of their own, which wait for their row.

    Parameters
    ----------
    encoder : Encoder
        The base, without an adapter.
    pairs : TrainingPairs
    placements : iterable of Placement
    precision, folder, progress
        As for :func:`prefix_towers`.
    """
    how = How(precision, folder, training=True, progress=progress)
    fitting = [p for p in placements if p.method != "qlora" and not why_not(p, encoder=encoder)]
    cuts = [cuts_of(placement, encoder) for placement in fitting]
    images = sorted({cut["vision"] for cut in cuts} - {0})
    texts = sorted({cut["text"] for cut in cuts} - {0})
    if images:
        image_states(SplitTower(encoder, "vision"), pairs.pixels, images, how)
    if texts:
        text_states(SplitTower(encoder, "text"), pairs.tokens, texts, how)


def prefix_encoder(
    encoder: Encoder, placement: Placement, *, folder: Path | None = None
) -> Encoder:
    """An encoder whose rows come from kept prefixes (fp32): the same ones, up to the last bits.

    Pictures are decoded and resized as ever, since their content names what is kept.

    Raises
    ------
    PrefixError
        If :func:`why_not` has a reason.

    Examples
    --------
    >>> rows = prefix_encoder(adapted.encoder, adapted.placement).images(some)  # doctest: +SKIP
    """
    _refuse(why_not(placement, encoder=encoder))
    known = {field.name: getattr(encoder, field.name) for field in fields(Encoder)}
    return _PrefixEncoder(**known, placement=placement, folder=folder)


@dataclass(frozen=True, kw_only=True)
class _PrefixEncoder(Encoder):
    placement: Placement
    folder: Path | None

    def images(
        self, pictures: Iterable[Picture], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        tower, cut = self._cut("vision")
        if not cut:
            return super().images(pictures, batch_size=batch_size, progress=progress)

        def run(batch: Sequence[Picture]) -> torch.Tensor:
            pixels = torch.cat([resized(self, p if not callable(p) else p()) for p in batch])
            states = image_states(tower, pixels, [cut], self._how)[0]
            return tower.suffix(gathered(tower, states, cut, torch.arange(len(batch))), cut, None)

        return self._encode(pictures, run, batch_size, progress, "image")

    def texts(
        self, captions: Sequence[str], *, batch_size: int = 256, progress: bool = False
    ) -> np.ndarray:
        tower, cut = self._cut("text")
        if not cut:
            return super().texts(captions, batch_size=batch_size, progress=progress)

        def run(batch: Sequence[str]) -> torch.Tensor:
            tokens = self.tokens(batch)
            states = text_states(tower, tokens, [cut], self._how)[0]
            found = gathered(tower, states, cut, torch.arange(len(batch)))
            return tower.suffix(found, cut, trimmed(tokens, self).to(self.device))

        return self._encode(captions, run, batch_size, progress, "caption")

    def _cut(self, name: str) -> tuple[SplitTower, int]:
        return SplitTower(self, name), cuts_of(self.placement, self)[name]

    @property
    def _how(self) -> "How":
        return How("fp32", self.folder, training=False, progress=False)


def _require_frozen(tower: SplitTower, cut: int) -> None:
    if not cut:
        return
    for name, module in tower.below(cut).items():
        for parameter, value in module.named_parameters():
            if value.requires_grad:
                raise PrefixError(
                    f"{parameter!r} in the {name} of the {tower.name} tower is trained, below the "
                    "first layer that the placement adapts: what lies below a cut must be frozen"
                )


def _refuse(reason: str) -> None:
    if reason:
        raise PrefixError(f"prefixes cannot be kept: {reason}; train with prefix='off'")
