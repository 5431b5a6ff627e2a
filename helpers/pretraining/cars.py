"""Pretraining of ``tiny-siglip-cars``, a base that sees cars: ``course pretrain tiny-siglip-cars``.

It starts from ``tiny-siglip`` at 96 pixels, where only the kernel of the patches is resized, and is
trained on the classes of the garage that lesson 09 leaves out: every make, model, body and year
occurs, no combination of the lesson's does. The loss is the sigmoid loss on captions plus a
cross-entropy over prompts for each part; Muon (Jordan et al. 2024) trains the matrices of the
layers, AdamW the rest. Without both of these the vision tower learns next to nothing for hundreds
of steps.

A run that was stopped goes on from its last saved state when the same command is given again.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch.nn import functional as F
from transformers import AutoProcessor, SiglipModel

from helpers import paths
from helpers.data.sets import RetrievalSet
from helpers.experiment import ranks_of
from helpers.models.encoder import Encoder, load_encoder
from helpers.pretraining.card import Scores, card, run_rows, score_rows
from helpers.pretraining.command import RECORD, obstacle, replaced
from helpers.pretraining.dual_encoder import augmented
from helpers.repro import hash_of, library_versions, sha256_file
from helpers.store.artefacts import code_of
from helpers.store.zones import write_file_atomically
from helpers.study import Study
from helpers.topics.cars.instances import (
    GALLERY,
    LESSON_CLASSES,
    WORLD_SEED,
    open_classes,
    split_queries,
)
from helpers.topics.cars.queries import write_queries
from helpers.training.losses import clamp_logit_scale, pairwise_sigmoid
from helpers.world import open_world
from helpers.world.garage import MAKES
from helpers.world.vehicles import WHEELS

NAME, START = "tiny-siglip-cars", "tiny-siglip"
ALL = 960  # classes of the garage
WANTED = (0.4, 0.7)  # hit@1 on validation, mean of both directions
GRILLES = {"bars": "barred", "slats": "slatted", "mesh": "mesh", "twin": "twin", "plain": "plain"}
RIMS = {"disc": "disc", "spokes": "spoked", "ring": "ring", "dots": "dotted"}
NAMES, PARTS = ("make", "model", "body", "year"), ("body", "year", "grille", "lamps", "wheels")
PROMPTS = (*PARTS, "make")


@dataclass(frozen=True)
class Pretraining:
    """How the base is made; equal settings give equal weights on one machine, by one thread.

    ``images`` of each class, ``batch`` of them a step, ``captions`` a step, the ``rate`` of AdamW
    and of Muon, ``warmup`` in steps before a cosine over all.
    """

    steps: int = 2700
    images: int = 16
    seed: int = 0
    px: int = 96
    patch: int = 12
    batch: int = 64
    captions: int = 48
    rate: float = 1e-3
    muon: float = 1e-2
    warmup: int = 40
    watch: int = 300  # steps between two evaluations
    save: int = 50  # steps between two saved states


def facts_of(attributes: Mapping[str, str]) -> dict[str, str]:
    """Everything that is true of a class and can be said: its names, and the parts that it has."""
    grille, lamps, models = MAKES[attributes["make"]]
    wheels = WHEELS[models.index(attributes["model"])]
    parts = {"grille": f"{GRILLES[grille]} grille", "lamps": f"{lamps} lamps",
             "wheels": f"{RIMS[wheels]} wheels"}  # fmt: skip
    return {name: attributes[name] for name in NAMES} | parts


def caption(facts: Mapping[str, str], rng: np.random.Generator) -> tuple[str, frozenset]:
    """A clean text and the facts that it states: two to four names, or three to five parts."""
    pool, least, most = (NAMES, 2, 5) if rng.random() < 0.6 else (PARTS, 3, 6)
    said = [pool[i] for i in rng.permutation(len(pool))[: rng.integers(least, most)]]
    return " ".join(facts[name] for name in said), frozenset((k, facts[k]) for k in said)


def enlarged_start(s: Pretraining) -> tuple[SiglipModel, AutoProcessor]:
    """``tiny-siglip`` for larger images and patches: as many tokens, the patches' kernel resized.

    A kernel that is r times as large sums over r * r times as many pixels, so it is divided by
    that.
    """
    folder = paths.tiny() / START
    old, processor = SiglipModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    weights, config = old.state_dict(), old.config
    kernel = "vision_model.embeddings.patch_embedding.weight"
    ratio = s.patch / weights[kernel].shape[-1]
    resized = F.interpolate(weights[kernel], size=(s.patch, s.patch), mode="bicubic")
    weights[kernel] = resized / ratio**2
    config.vision_config.image_size, config.vision_config.patch_size = s.px, s.patch
    model = SiglipModel(config)
    model.load_state_dict(weights)
    processor.image_processor.size = {"height": s.px, "width": s.px}
    return model, processor


def drawn(s: Pretraining) -> np.ndarray:
    """(n, px, px, 3) uint8: the images of the classes behind the lesson's, class after class."""
    world = open_world(f"garage?px={s.px}&images={s.images}", n_recipes=ALL, seed=WORLD_SEED)
    key = hash_of([world.fingerprint, LESSON_CLASSES])
    place = paths.cache() / f"{NAME}-{key}.npy"
    if not place.is_file():
        found = [np.asarray(world.draw(i, j).image)
                 for i in range(LESSON_CLASSES, ALL) for j in range(s.images)]  # fmt: skip
        place.parent.mkdir(parents=True, exist_ok=True)
        building = place.with_name(f".{place.name}")
        with building.open("wb") as file:
            np.save(file, np.stack(found))
        building.rename(place)
    return np.load(place, mmap_mode="r")


class Training:
    """A run: the model, its two optimizers, and the step where it stands."""

    def __init__(self, s: Pretraining, images: np.ndarray) -> None:
        torch.manual_seed(s.seed)
        self.s, self.images, self.step, self.seconds, self.log = s, images, 0, 0.0, []
        world = open_world("garage", n_recipes=ALL, seed=WORLD_SEED)
        self.facts = [facts_of(world.attributes(i)) for i in range(ALL)]
        self.options = {part: sorted({f[part] for f in self.facts}) for part in PROMPTS}
        self.model, processor = enlarged_start(s)
        self.encoder = Encoder(NAME, "siglip", self.model, processor)
        self.prompts = self.encoder.prepare_texts([*chain(*self.options.values())])
        self.named = dict(self.model.named_parameters())
        layers = {n: p for n, p in self.named.items() if p.ndim == 2 and ".layers." in n}
        rest = [p for n, p in self.named.items() if n not in layers]
        groups = [{"params": [p for p in rest if p.ndim > 1], "weight_decay": 0.05},
                  {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0}]  # fmt: skip
        adamw = torch.optim.AdamW(groups, s.rate, betas=(0.9, 0.98), fused=True)
        muon = torch.optim.Muon(list(layers.values()), lr=s.muon, weight_decay=0.01)
        self.optimizers = ((adamw, s.rate), (muon, s.muon))
        self.identity = hash_of([{**asdict(s), "watch": 0, "save": 0}, code_of(__name__)])

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The loss of one batch, drawn by the number of the step."""
        s, n = self.s, len(self.images)
        epoch, place = divmod(self.step, n // s.batch)
        order = np.random.default_rng([s.seed, 1, epoch]).permutation(n)
        rows = np.sort(order[place * s.batch : (place + 1) * s.batch])
        classes = LESSON_CLASSES + rows // s.images
        told = rng.choice(s.batch, s.captions, replace=False)
        texts, stated = zip(*(caption(self.facts[c], rng) for c in classes[told]), strict=True)
        tokens = self.encoder.prepare_texts(texts)
        tokens = {name: torch.cat([ids, self.prompts[name]]) for name, ids in tokens.items()}
        pixels = augmented(np.asarray(self.images[rows]), rng, lambda x: x / 127.5 - 1)
        u = self.encoder.image_features(pixels)
        v = self.encoder.text_features(tokens)
        scale, at = self.model.logit_scale.exp(), s.captions
        # A caption may be true of another image of the batch: that cell is left out.
        true = torch.tensor(
            [[what <= self.facts[c].items() for what in stated] for c in classes[told]]
        )
        loss = pairwise_sigmoid(u[told], v[:at], scale, self.model.logit_bias, positives=true)
        for part, options in self.options.items():
            target = torch.tensor([options.index(self.facts[c][part]) for c in classes])
            loss = loss + F.cross_entropy(scale * u @ v[at : at + len(options)].T, target)
            at += len(options)
        return loss

    def advance(self) -> None:
        """One step of both optimizers."""
        began = time.process_time()
        self.model.train()
        s, rng = self.s, np.random.default_rng([self.s.seed, 2, self.step])
        share = min(1, (self.step + 1) / s.warmup)
        share *= max(0.02, (1 + math.cos(math.pi * self.step / s.steps)) / 2)
        loss = self.loss(rng)
        for optimizer, rate in self.optimizers:
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = rate * share
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, _ in self.optimizers:
            optimizer.step()
        clamp_logit_scale(self.model.logit_scale)
        self.step += 1
        self.seconds += time.process_time() - began
        if self.step % 10 == 0 or self.step == s.steps:
            self.log.append({"step": self.step, "loss": round(loss.item(), 4)})

    def save(self, place: Path) -> None:
        """Weights, moments and log of one step, whole or not at all."""
        names = {id(p): name for name, p in self.named.items()}
        tensors = {f"weights|{name}": p for name, p in self.named.items()}
        for optimizer, _ in self.optimizers:
            for parameter, moments in optimizer.state.items():
                tensors |= {f"{key}|{names[id(parameter)]}": one for key, one in moments.items()}
        known = {"step": self.step, "seconds": self.seconds, "log": self.log}
        header = {"identity": self.identity, "state": json.dumps(known)}
        content = {k: t.detach().contiguous().clone() for k, t in tensors.items()}
        place.parent.mkdir(parents=True, exist_ok=True)
        write_file_atomically(place, save(content, metadata=header))

    def resume(self, place: Path) -> None:
        """Go on from a saved state, if it is there and of this run."""
        if not place.is_file():
            return
        with safe_open(place, framework="pt") as file:
            header = file.metadata()
            if header["identity"] != self.identity:
                raise ValueError(f"{place} is the state of other settings or code: delete it")
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        muon = {id(p) for group in self.optimizers[1][0].param_groups for p in group["params"]}
        with torch.no_grad():
            for full, tensor in tensors.items():
                key, name = full.split("|", 1)
                parameter = self.named[name]
                if key == "weights":
                    parameter.copy_(tensor)
                else:
                    self.optimizers[id(parameter) in muon][0].state[parameter][key] = tensor
        known = json.loads(header["state"])
        self.step, self.seconds, self.log = known["step"], known["seconds"], known["log"]


def validation(s: Pretraining) -> RetrievalSet:
    """Held-out classes with the images and queries of lesson 09's validation, in its galleries."""
    classes = open_classes(f"world:garage?px={s.px}&images=24")
    written = write_queries(classes.cars, progress=False)
    return classes.sets(split_queries(written.queries, classes, seed=WORLD_SEED))["validation"]


def scores_of(encoder: Encoder, data: RetrievalSet) -> dict[str, dict[str, float]]:
    """hit@1 and hit@5 by direction and of their mean, with 95 % intervals over classes."""
    study, found = Study.of({NAME: ranks_of(encoder, data)}, test="validation"), {}
    for metric in ("hit@1", "hit@5"):
        for direction in ("text_to_image", "image_to_text", "both"):
            one = study.estimate(NAME, metric=metric, test="validation", direction=direction)
            known = {"value": one.value, "low": one.low, "high": one.high}
            found[f"{metric}, {direction}"] = {k: round(x, 4) for k, x in known.items()}
    return found


def seen_parts(run: Training, data: RetrievalSet) -> dict[str, tuple[float, float]]:
    """Which value of a part an image has, by text prompts: accuracy, and the best constant's."""
    u, found = run.encoder.images(data.images), {}
    for part, options in run.options.items():
        guessed = np.array(options)[(u @ run.encoder.texts(options).T).argmax(axis=1)]
        truth = np.array(
            [run.facts[int(item.rsplit("-", 1)[1])][part] for item in data.image_items]
        )
        constant = max(np.mean(truth == one) for one in options)
        found[part] = (round(float(np.mean(guessed == truth)), 2), round(float(constant), 2))
    return found


def pretrain(s: Pretraining, folder: Path) -> bool:
    """Draw, train, evaluate, write a checkpoint with its card; whether it is as hard as wanted."""
    torch.set_num_threads(1)
    run, state = Training(s, drawn(s)), folder.with_name(f".{folder.name}.state.safetensors")
    run.resume(state)
    data = validation(s)
    print(f"{NAME}: {len(run.images):,} images, step {run.step} of {s.steps}", flush=True)
    while run.step < s.steps:
        run.advance()
        if run.step % s.save == 0 or run.step == s.steps:
            run.save(state)
            print(f"step {run.step}, {run.log[-1]}, {run.seconds:.0f} CPU s", flush=True)
        if run.step % s.watch == 0:
            run.model.eval()
            found = scores_of(run.encoder, data)
            shown = {k: v["value"] for k, v in found.items()}
            print(f"step {run.step}: {shown}; parts {seen_parts(run, data)}", flush=True)
    run.model.eval()
    with replaced(folder) as staging:
        run.model.save_pretrained(staging)
        run.encoder.processor.save_pretrained(staging)
        scores = scores_of(load_encoder(str(staging), device="cpu"), data)
        known = {"settings": asdict(s), "versions": library_versions(), "seconds": run.seconds,
                 "validation": scores, "parts": seen_parts(run, data), "log": run.log}  # fmt: skip
        (staging / RECORD).write_text(json.dumps(known, indent=1) + "\n")
        (staging / "README.md").write_text(card_of(s, run.seconds / 60, scores), encoding="utf-8")
    state.unlink(missing_ok=True)
    score = scores["hit@1, both"]["value"]
    holds = WANTED[0] <= score <= WANTED[1]
    print(f"{NAME}: weights {sha256_file(folder / 'model.safetensors')[:16]}, hit@1 {score:.3f}, "
          f"{'as wanted' if holds else 'outside'} {WANTED[0]:.0%} to {WANTED[1]:.0%}")  # fmt: skip
    return holds


def card_of(s: Pretraining, minutes: float, scores: Scores) -> str:
    """The model card."""
    low, high = WANTED
    return card(
        NAME, family="siglip", pipeline="zero-shot-image-classification",
        summary=f"`{START}`, trained further on cars of {s.px} px, in patches of {s.patch} px: the "
        "base of lesson 09.",
        start=f"`{START}` and seeds",
        made={
            "data": f"classes {LESSON_CLASSES} to {ALL - 1} of `world:garage` (seed {WORLD_SEED}), "
            f"{s.images} images each; no combination of make, model, body and year of the classes "
            "before them",
            "loss": f"sigmoid loss on {s.captions} captions, and cross-entropy over prompts of "
            f"{', '.join(PROMPTS)}",
            "optimizer": f"Muon {s.muon:g} on the matrices of the layers, AdamW {s.rate:g} on the "
            f"rest; {s.steps:,} steps of {s.batch} images, {s.warmup} steps of warm-up, cosine",
            "steps chosen": "on zero-shot difficulty alone: hit@1, mean of both directions, "
            f"between {low:.0%} and {high:.0%} on validation images and queries of held-out "
            "classes",
            **run_rows(s.seed, minutes),
        },
        measured=f"Zero-shot, on validation images and messy queries of classes 0 to "
        f"{LESSON_CLASSES - 1} in galleries of {GALLERY} classes; 95 % intervals over classes.",
        results=score_rows(scores, first="metric, direction"),
        limits="It was trained and evaluated on captions of cars alone.",
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """``course pretrain tiny-siglip-cars``; 1 where the base is easier or harder than wanted."""
    default = Pretraining()
    parser = argparse.ArgumentParser(
        prog=f"course pretrain {NAME}", description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--out", type=Path, default=paths.tiny() / NAME, help="folder to write")
    add("--steps", type=int, default=default.steps)
    add("--images", type=int, default=default.images, help="of each class")
    add("--seed", type=int, default=default.seed)
    add("--watch", type=int, default=default.watch, help="steps between two evaluations")
    given = parser.parse_args(argv)
    folder = paths.fresh(given.out)
    if problem := obstacle(folder):
        parser.error(f"--out: {problem}")
    chosen = {name: getattr(given, name) for name in ("steps", "images", "seed", "watch")}
    if wrong := [name for name in ("steps", "images", "watch") if chosen[name] < 1]:
        parser.error(f"--{wrong[0]} is {chosen[wrong[0]]}: give a positive number")
    return 0 if pretrain(Pretraining(**chosen), folder) else 1


if __name__ == "__main__":
    raise SystemExit(main())
