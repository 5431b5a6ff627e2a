"""A process among several that train one small model: ``torchrun ... -m tests.first.ranks_worker OUT``.

The first process writes the gradients of the first step and the weights after the last one.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from helpers.first.training.loop import train
from helpers.first.training.ranks import Ranks, join_ranks
from helpers.first.training.settings import Training
from tests.first.small_training import small_adapted, small_pairs, trainable

# 12 pairs a step, an odd number for each of 4 processes; no dropout: one mask for the whole batch
# cannot be drawn by several.
SETTINGS = Training(
    epochs=1, batch_size=2, accumulation=5, learning_rate=3e-3, loss="sigmoid", clip=1.0,
    warmup=2, patience=0, keep="best",
)  # fmt: skip


def work(family: str, loss: str, ranks: Ranks, out: Path) -> None:
    """Train for some steps; the first process writes what came of it, every one what it holds."""
    adapted = small_adapted(family, dropout=0.0, heads=True)
    model = adapted.encoder.model
    if loss == "sigmoid":
        model.logit_bias.requires_grad_(True)
    model.logit_scale.requires_grad_(True)
    seen: dict[str, torch.Tensor] = {}

    def keep_gradients(record: dict[str, float]) -> None:
        if record["step"] == 1:
            named = model.named_parameters()
            seen.update({f"gradient|{n}": p.grad.clone() for n, p in named if p.requires_grad})

    trained = train(
        adapted.encoder,
        small_pairs(family),
        replace(SETTINGS, loss=loss, clip=0.0),
        validate=lambda: {"score": float(len(seen))},
        state=out.with_suffix(".state"),
        on_step=keep_gradients,
        ranks=ranks,
        progress=False,
    )
    weights = {f"weight|{n}": t for n, t in trainable(adapted).items()}
    losses = torch.tensor([step["loss"] for step in trained.steps])
    save_file({**seen, **weights, "losses": losses}, f"{out}.{ranks.rank}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    work(sys.argv[1], sys.argv[2], join_ranks(device="cpu"), Path(sys.argv[3]))
