"""A training step from the cached prefix against a plain peft loop, side by side in one process.

``python -m tests.benchmarks.step [--repeats 3] [--batch 32] [--families clip,siglip]``

CLIP ViT-B/32 and SigLIP-base/16 by their configurations, with random weights: they take the time
that the real ones take. LoRA (rank 8) sits on the last two vision layers, the text tower is frozen.
A step is both towers, InfoNCE, backward, clipping and AdamW. The plain loop is what anyone would
write with transformers and peft; texts have the model's full length. The two take steps in turn;
the fastest of each counts, in seconds of the processor on one thread, else of the wall clock. The
limit is the ratio of the floating-point operations of both steps.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy, normalize
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from helpers.models.encoder import Encoder
from helpers.models.lora import adapt
from helpers.models.placement import Placement, target_pattern
from helpers.training.batches import TrainingPairs, normalized
from helpers.training.loop import Run, Settings, take_step
from helpers.training.prefix import Prefixes
from helpers.training.runs import contrastive_step

PLACEMENT = Placement(rank=8, alpha=16, dropout=0.0, vision_layers=2, text_layers=0)
LONGEST = 16  # tokens of the longest caption


def random_encoder(family: str) -> Encoder:
    """The base configuration of a family with random weights."""
    torch.manual_seed(0)
    if family == "clip":
        model = CLIPModel(CLIPConfig(vision_config={"patch_size": 32}))
        processor = CLIPImageProcessorPil()
    else:
        model = SiglipModel(SiglipConfig())
        processor = SiglipImageProcessorPil(size={"height": 224, "width": 224})
    tools = SimpleNamespace(image_processor=processor)
    model = model.eval().requires_grad_(False)
    return Encoder(f"random-{family}", family, model, tools, fingerprint="random")


def random_pairs(encoder: Encoder, n: int) -> TrainingPairs:
    """n images with a caption each, of 9 to ``LONGEST`` tokens, padded to the model's length."""
    generator = torch.Generator().manual_seed(1)
    ends = torch.randint(8, LONGEST, (n,), generator=generator)
    ends[0] = LONGEST - 1
    ids = torch.randint(5, 30000, (n, encoder.text_length), generator=generator)
    after = torch.arange(encoder.text_length) >= ends[:, None]
    # CLIP's own end token; the SigLIP configuration's default lies outside its vocabulary
    filler = encoder.model.config.text_config.eos_token_id if encoder.family == "clip" else 1
    tokens = {"input_ids": ids.masked_fill(after, filler)}
    pixels = torch.randint(0, 256, (n, 3, 224, 224), generator=generator, dtype=torch.uint8)
    numbers, names = np.arange(n), np.arange(n).astype(str)
    none = numbers[:0]
    return TrainingPairs(names, numbers, numbers, names, names, pixels, tokens, none, none)


def plain_step(encoder: Encoder, pairs: TrainingPairs) -> tuple[torch.nn.Module, Callable]:
    """A peft loop as lessons write it, and its model."""
    network = adapt(encoder, PLACEMENT).adapter.peft.unload()  # a copy without an adapter
    pattern = target_pattern(PLACEMENT, network)
    torch.manual_seed(42)
    config = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=pattern)
    model = get_peft_model(network, config)
    network.logit_scale.requires_grad_(True)
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4)
    target = torch.arange(len(pairs))

    def gradients() -> None:
        model.train()
        pixels = normalized(pairs.pixels.float() / 255, encoder)
        images = network.get_image_features(pixel_values=pixels).pooler_output
        texts = network.get_text_features(**pairs.tokens).pooler_output
        images, texts = normalize(images, dim=-1), normalize(texts, dim=-1)
        logits = network.logit_scale.exp() * images @ texts.T
        loss = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
        optimizer.zero_grad()
        loss.backward()

    def step() -> None:
        gradients()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    step.gradients = gradients
    return network, step


def cached_step(
    encoder: Encoder, pairs: TrainingPairs, folder: Path
) -> tuple[torch.nn.Module, Callable]:
    """The package's own step from cached prefixes, and its model."""
    adapted = adapt(encoder, PLACEMENT)
    settings = Settings(batch_size=len(pairs), learning_rate=1e-4, warmup=0)
    towers = Prefixes(adapted, folder).towers(pairs)
    loss = contrastive_step(adapted, pairs, towers, settings)
    run = Run(adapted.model, settings, 10**6)

    def step() -> None:
        take_step(run, loss)

    def gradients() -> None:
        adapted.model.zero_grad()
        loss(0, np.random.default_rng(0))

    step.gradients = gradients
    return adapted.model, step


def noisy(model: torch.nn.Module) -> None:
    """A fresh adapter changes nothing, and half its gradients are zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(0.02 * torch.randn(p.shape, generator=generator))


def gradient_differences(
    plain: tuple[torch.nn.Module, Callable], cached: tuple[torch.nn.Module, Callable]
) -> tuple[float, float]:
    """Relative differences in the norm: of the whole gradient, and the largest of a parameter's."""
    found = []
    for model, step in (plain, cached):
        noisy(model)
        step.gradients()
        named = model.named_parameters()
        found.append({n: p.grad.double().flatten() for n, p in named if p.requires_grad})
    # The cached step draws its own order of the same pairs: the loss does not depend on it.
    wanted, other = found
    whole = [torch.cat(list(one.values())) for one in (wanted, {n: other[n] for n in wanted})]
    apart = float((whole[0] - whole[1]).norm() / whole[0].norm())
    return apart, max(float((wanted[n] - other[n]).norm() / wanted[n].norm()) for n in wanted)


def gflop(step: Callable[[], object]) -> float:
    """Floating-point operations of the matrix products of a step, in 10**9."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9


def main() -> None:
    """Print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--families", default="clip,siglip")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    clock = time.process_time if asked.threads == 1 else time.perf_counter
    print(f"torch {torch.__version__}, {asked.threads} thread(s), batch {asked.batch}, k = 2, fp32")
    record = {}
    for family in asked.families.split(","):
        encoder = random_encoder(family)
        pairs = random_pairs(encoder, asked.batch)
        with tempfile.TemporaryDirectory() as folder:
            steps = {
                "plain": plain_step(encoder, pairs),
                "cached": cached_step(encoder, pairs, Path(folder)),
            }
            difference, largest = gradient_differences(steps["plain"], steps["cached"])
            work = {name: gflop(step) for name, (_, step) in steps.items()}
            fastest = dict.fromkeys(steps, np.inf)
            for _ in range(asked.repeats):
                for name, (_, step) in steps.items():
                    began = clock()
                    step()
                    fastest[name] = min(fastest[name], clock() - began)
        ratio, limit = (values["plain"] / values["cached"] for values in (fastest, work))
        print(
            f"{family:7} plain {fastest['plain']:.3f} s ({work['plain']:.0f} GFLOP), cached "
            f"{fastest['cached']:.3f} s ({work['cached']:.0f} GFLOP): {ratio:.1f}x of at most "
            f"{limit:.1f}x ({ratio / limit:.2f}); relative difference of the gradient "
            f"{difference:.1e}, of one parameter's at most {largest:.1e}",
            flush=True,
        )
        record[family] = {
            "ratio": round(ratio, 2), "limit": round(limit, 2), "gradient": difference,
        }  # fmt: skip
    print(json.dumps(record))


if __name__ == "__main__":
    main()
