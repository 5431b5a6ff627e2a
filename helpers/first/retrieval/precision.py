"""A copy of an encoder that only encodes: other precision, the same rows, less work.

Three changes that leave the function of a plain CLIP or SigLIP as it is. The quick GELU of CLIP,
``x * sigmoid(1.702 x)``, takes three passes over the widest activations; with 1.702 moved into the
weights before it and out of those behind it, it is SiLU, one pass. In bf16 on a CPU the weights of
linear layers are laid out once as the matrix unit reads them, not at every call, and bias and
activation are done while the product is still in the cache.

Whether bf16 is faster depends on the machine (it needs AMX or AVX512-BF16 on a CPU): measure it.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn
from transformers.activations import GELUTanh, QuickGELUActivation

from helpers.first.models.encoders import Encoder
from helpers.first.models.loading import DTYPES

QUICK = 1.702  # Hendrycks and Gimpel, "Gaussian error linear units" (2016), section 2
LEAST_GAIN, LEAST_COSINE = 1.1, 0.999
FUSED = {nn.SiLU: ("swish", ""), GELUTanh: ("gelu", "tanh")}


class PackedLinear(nn.Module):
    """A linear layer whose weights lie as oneDNN's kernels read them; encoding only.

    Parameters
    ----------
    linear : torch.nn.Linear
        In bf16 on the CPU.
    then : tuple of str
        The operation done on the result, and its variant; ``("none", "")`` for none.
    """

    def __init__(self, linear: nn.Linear, *, then: tuple[str, str] = ("none", "")) -> None:
        super().__init__()
        self.out_features, self.then = linear.out_features, then
        self.register_buffer("bias", linear.bias, persistent=False)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``then(x W^T + b)``; x is (..., in_features)."""
        rows = x.reshape(-1, x.shape[-1])
        done = torch.ops.mkldnn._linear_pointwise(
            rows, self.packed, self.bias, self.then[0], [], self.then[1]
        )
        return done.view(*x.shape[:-1], self.out_features)


def in_precision(encoder: Encoder, precision: str) -> Encoder:
    """A lean copy of an encoder for encoding alone; it cannot be trained or saved.

    Its rows are those of the encoder but for rounding: 1e-5 in fp32, in bf16 a cosine of 0.999 and
    more. Its fingerprint stays, so that indexes of both hold the same space.

    Parameters
    ----------
    encoder : Encoder
        In fp32. Layers that carry an unmerged adapter are left as they are.
    precision : str
        ``fp32`` or ``bf16``.

    Raises
    ------
    ValueError
        If the precision is unknown, or the encoder has lost bits already.

    Examples
    --------
    >>> fast = in_precision(load_encoder("tiny-siglip"), "bf16")  # doctest: +SKIP
    """
    if precision not in DTYPES:
        raise ValueError(f"unknown precision {precision!r}: use one of {', '.join(DTYPES)}")
    if encoder.precision != "fp32":
        raise ValueError(
            f"{encoder.name} was opened in {encoder.precision}, which has rounded its weights "
            "already: open it in fp32"
        )
    model = copy.deepcopy(encoder.model).eval().requires_grad_(False)
    for block in _blocks(model):
        _fold(block)
    model = model.to(DTYPES[precision])
    if precision == "bf16" and encoder.device == "cpu" and _can_pack():
        for module in list(model.modules()):
            _pack(module)
    return replace(encoder, model=model, precision=precision)


@dataclass(frozen=True, eq=False)
class PrecisionChoice:
    """What was measured (``table``: precision, images_per_s, min_cosine) and what to use."""

    table: pd.DataFrame
    chosen: str


def measure_precision(
    encoder: Encoder,
    pictures: Sequence[Image.Image],
    *,
    batch_size: int = 32,
    repeats: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> PrecisionChoice:
    """Time the vision tower in fp32 and in bf16 on this machine, and say which to use.

    bf16 is chosen where it is at least a tenth faster and no picture's row turns further than to a
    cosine of 0.999. The two run in turn, and each counts with its fastest pass: what disturbs a
    measurement only ever makes it longer.

    Parameters
    ----------
    encoder : Encoder
        In fp32.
    pictures : sequence of PIL.Image.Image
        One batch's worth; repeated if there are fewer.
    batch_size, repeats : int
    clock : callable
        Seconds, as a float.
    """
    if not len(pictures):
        raise ValueError("no pictures to measure with; give one at least")
    batch = [pictures[i % len(pictures)] for i in range(batch_size)]
    pixels = encoder.pixels(batch)
    lean = {name: in_precision(encoder, name) for name in DTYPES}
    best, rows = dict.fromkeys(lean, np.inf), {}
    with torch.inference_mode():
        for turn in range(repeats + 1):  # the first warms up
            for name, one in lean.items():
                began = clock()
                ready = pixels.to(one.device, one.model.dtype)
                found = one.model.get_image_features(pixel_values=ready).pooler_output
                rows[name] = nn.functional.normalize(found.float(), dim=-1).cpu()
                if turn:
                    best[name] = min(best[name], clock() - began)
    cosine = {name: float((rows["fp32"] * one).sum(dim=1).min()) for name, one in rows.items()}
    gains = best["fp32"] / best["bf16"] >= LEAST_GAIN and cosine["bf16"] >= LEAST_COSINE
    table = pd.DataFrame(
        [(name, batch_size / best[name], cosine[name]) for name in lean],
        columns=["precision", "images_per_s", "min_cosine"],
    )
    return PrecisionChoice(table, "bf16" if gains else "fp32")


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The two-layer perceptrons of both towers, but for those that carry an adapter."""
    found = [m for m in model.modules() if hasattr(m, "fc1") and hasattr(m, "activation_fn")]
    return [m for m in found if type(m.fc1) is nn.Linear and type(m.fc2) is nn.Linear]


def _fold(block: nn.Module) -> None:
    """``a silu(1.702 x) / 1.702`` instead of ``a x sigmoid(1.702 x)``."""
    if isinstance(block.activation_fn, QuickGELUActivation):
        with torch.no_grad():
            block.fc1.weight.mul_(QUICK)
            block.fc1.bias.mul_(QUICK)
            block.fc2.weight.div_(QUICK)
        block.activation_fn = nn.SiLU(inplace=True)


def _can_pack() -> bool:
    known = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return (
        known
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _pack(parent: nn.Module) -> None:
    """Pack the plain linear layers of a module, the first of a perceptron with its activation."""
    for name, child in list(parent.named_children()):
        if type(child) is not nn.Linear:
            continue
        act = getattr(parent, "activation_fn", None)
        then = FUSED.get(type(act)) if name == "fc1" else None
        setattr(parent, name, PackedLinear(child, then=then or ("none", "")))
        if then:
            parent.activation_fn = nn.Identity()
