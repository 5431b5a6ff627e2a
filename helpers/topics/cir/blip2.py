"""BLIP-2 for retrieval: images as tokens, texts as rows, and the Q-Former that reads both.

``transformers`` skips the cross-attention of a Q-Former layer only where there are no query tokens.
Methods of composed retrieval put their own tokens in the place of the queries and leave the image
out: the layers here then skip the cross-attention and do all the rest, with the same weights under
the same names. The image encoder is frozen, so that its states of an image are computed once and
memory-mapped in half precision.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
    Blip2QFormerModel,
    PretrainedConfig,
)
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerLayer

from helpers.cache import Cache, Items
from helpers.models.checkpoints import (
    Checkpoint,
    ModelError,
    check_files,
    check_filled,
    check_pixels,
    check_tokens,
    find_checkpoint,
    open_parts,
    opened,
)
from helpers.models.encoder import DTYPES, weights_fingerprint
from helpers.repro import hash_of, pick_device
from helpers.topics.cir.triplets import Source

NAME = "tiny-blip2"
HUB = "Salesforce/blip2-itm-vit-g"
LONGEST_TEXT = 64  # tokens; what is longer is cut
Tokens = dict[str, Tensor]


class ImageOptionalLayer(Blip2QFormerLayer):
    """``Blip2QFormerLayer`` whose cross-attention is skipped where no image is given."""

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None, encoder_attention_mask: Tensor | None = None,
        query_length: int = 0, **options,
    ) -> Tensor:  # fmt: skip
        """(b, query_length + l, width) to the same; the query tokens come first."""
        if encoder_hidden_states is not None or not query_length or not self.has_cross_attention:
            return super().forward(
                hidden_states, attention_mask, encoder_hidden_states,
                encoder_attention_mask=encoder_attention_mask, query_length=query_length, **options,
            )  # fmt: skip
        attended = self.attention(hidden_states, attention_mask=attention_mask, **options)
        queries, text = attended[:, :query_length], attended[:, query_length:]
        done = self.feed_forward_chunk_query(queries)
        if text.shape[1]:
            done = torch.cat([done, self.feed_forward_chunk(text)], dim=1)
        return done


def image_optional(original: Blip2QFormerModel) -> Blip2QFormerModel:
    """A copy of a Q-Former that needs no image; the original stays as it is."""
    made = copy.deepcopy(original)
    layers = [ImageOptionalLayer(made.config, i) for i in range(made.config.num_hidden_layers)]
    made.encoder.layer = nn.ModuleList(layers)
    first = next(original.parameters())
    made = made.to(first.device, first.dtype)
    made.load_state_dict(original.state_dict())
    return made.train(original.training)


@dataclass(frozen=True)
class Blip2:
    """A BLIP-2 with its processor; nothing is trainable, and its Q-Former is image-optional."""

    name: str
    model: Blip2ForImageTextRetrieval
    processor: Blip2Processor
    device: str = "cpu"
    precision: str = "fp32"  # of the image encoder; the Q-Former stays float32, as the class has it
    fingerprint: str = ""  # a hash of the weights as they were loaded

    @property
    def n_queries(self) -> int:
        """Tokens that an image is made into."""
        return self.model.config.num_query_tokens

    @property
    def text_length(self) -> int:
        """How many tokens of a text are read."""
        positions = self.model.config.qformer_config.max_position_embeddings
        return min(positions, LONGEST_TEXT)

    @torch.inference_mode()
    def states(self, images: Sequence[Image.Image]) -> Tensor:
        """What the image encoder gives for some images: (n, tokens, width) float32."""
        read = self.processor.image_processor(images=list(images), return_tensors="pt")
        vision = self.model.vision_model
        pixels = read["pixel_values"].to(self.device, vision.dtype)
        return vision(pixels).last_hidden_state.float()

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """``input_ids`` and ``attention_mask``, (n, longest) int64, on the model's device."""
        read = self.processor.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.text_length,
            return_tensors="pt", return_token_type_ids=False,
        )  # fmt: skip
        return {name: read[name].to(self.device) for name in ("input_ids", "attention_mask")}


@dataclass(frozen=True)
class States:
    """What a frozen image encoder gives for images, by their ids, memory-mapped."""

    place: dict[str, int]
    items: Items

    def of(self, names: Sequence[str]) -> Tensor:
        """(m, tokens, width) float32. Raises ``KeyError`` that names an image that is not there."""
        if lost := [name for name in names if name not in self.place]:
            raise KeyError(
                f"image {lost[0]!r} is not among the {len(self.place)} whose states are known: "
                "give cached_states the images of every part"
            )
        return self.items.batch([self.place[name] for name in names]).float()


def cached_states(
    states_of: Callable[[Sequence[Image.Image]], Tensor], source: Source, names: Sequence[str], *,
    fingerprint: str, kind: str, px: int = 0, batch_size: int = 64,
) -> States:  # fmt: skip
    """The states of images, computed where they are not kept yet; half precision on disk.

    ``states_of`` makes (n, tokens, width) of images; drawn ones are drawn at ``px`` pixels.
    ``fingerprint`` is that of the model with its preprocessing, ``kind`` what the states are
    called. Raises ``ValueError`` if the encoder gives a number that is not finite.
    """
    names = tuple(dict.fromkeys(names))

    def compute(numbers: list[int]) -> list[Tensor]:
        found = states_of([source.load_image(names[i], px=px) for i in numbers]).cpu().half()
        if not torch.isfinite(found).all():
            raise ValueError(
                f"the image encoder gives states that are not finite for {names[numbers[0]]!r} or "
                "one of the images after it; look at its weights"
            )
        return list(found)

    cache = Cache(hash_of([fingerprint, px], digits=16), kind)
    items = cache.fetch([source.image_hash(n) for n in names], compute, batch_size=batch_size)
    return States({name: i for i, name in enumerate(names)}, items)


def blip2_states(blip2: Blip2, source: Source, *parts: str) -> States:
    """The states of a BLIP-2 for the images of some parts of a source (by default all)."""
    kept = blip2.processor.image_processor.to_dict()
    known = {name: value for name, value in kept.items() if not name.startswith("_")}
    fingerprint = hash_of([blip2.fingerprint, blip2.precision, known], digits=16)
    return cached_states(blip2.states, source, source.names(*parts), fingerprint=fingerprint,
                         kind="BLIP-2 states")  # fmt: skip


def image_tokens(model: nn.Module, states: Tensor) -> Tensor:
    """Images as unit tokens of the shared space: (b, t, width) states to (b, n_queries, d)."""
    queries = model.query_tokens.expand(len(states), -1, -1)
    seen = model.qformer(query_embeds=queries, encoder_hidden_states=states).last_hidden_state
    return functional.normalize(model.vision_projection(seen), dim=-1)


def text_rows(model: nn.Module, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Texts as unit rows of the shared space: (b, d), from their first token."""
    embedded = model.embeddings(input_ids=input_ids)
    read = model.qformer(query_embeds=embedded, query_length=0, attention_mask=attention_mask)
    return functional.normalize(model.text_projection(read.last_hidden_state[:, 0]), dim=-1)


def read_together(
    model: nn.Module, queries: Tensor, tokens: Tokens, states: Tensor | None
) -> Tensor:
    """Query tokens and a text read together: (b, n + l, width), the queries first.

    ``queries`` are (1 or b, n, width): the model's query tokens, or what stands in their place.
    Without ``states``, (b, t, vision width), cross-attention is skipped.
    """
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    queries = queries.expand(len(ids), -1, -1)
    n = queries.shape[1]
    return model.qformer(
        query_embeds=model.embeddings(input_ids=ids, query_embeds=queries), query_length=n,
        attention_mask=torch.cat([mask.new_ones(len(ids), n), mask], dim=1),
        encoder_hidden_states=states,
    ).last_hidden_state  # fmt: skip


def load_blip2(model: str, *, device: str = "auto", precision: str = "fp32") -> Blip2:
    """Open a BLIP-2 for retrieval: ``tiny-blip2``, a folder, or a hub id such as HUB.

    ``precision``, ``fp32`` or ``bf16``, is that of the image encoder.
    """
    checkpoint, config = find_config(model, precision, kind="BLIP-2", tiny=NAME, hub=HUB)
    if not config.qformer_config.use_qformer_text_input:
        raise ModelError(
            f"the Q-Former of {model!r} reads no text: it is a BLIP-2 for captioning; give one for "
            f"retrieval, such as {HUB}"
        )
    weights = check_files(checkpoint)
    network, loaded = opened(
        Blip2ForImageTextRetrieval, checkpoint, what=weights, dtype=torch.float32,
        output_loading_info=True, ignore_mismatched_sizes=True,
    )  # fmt: skip
    check_filled(loaded, checkpoint)
    processor = open_parts(checkpoint, Blip2Processor)
    check_tokens(processor.tokenizer, config.qformer_config.vocab_size, checkpoint)
    check_pixels(processor.image_processor, config.vision_config.image_size, checkpoint)
    fingerprint, target = weights_fingerprint(network), pick_device(device)
    network.qformer = image_optional(network.qformer)
    network = network.eval().requires_grad_(False).to(target)
    network.vision_model.to(DTYPES[precision])
    return Blip2(checkpoint.name, network, processor, target, precision, fingerprint)


def find_config(
    model: str, precision: str, *, kind: str, tiny: str, hub: str
) -> tuple[Checkpoint, PretrainedConfig]:
    """The checkpoint of a model and its configuration; ``ModelError`` if it is of another kind."""
    if precision not in DTYPES:
        raise ModelError(f"unknown precision {precision!r}: use one of {', '.join(DTYPES)}")
    checkpoint = find_checkpoint(model, tiny=(tiny,))
    config = opened(AutoConfig, checkpoint, what="config.json")
    if config.model_type != kind.lower():
        raise ModelError(
            f"model {model!r} is a {config.model_type!r} model, no {kind}: give {tiny}, a "
            f"directory, or a hub id such as {hub}"
        )
    return checkpoint, config


def zero_shot_rows(blip2: Blip2, states: States, names: Sequence[str], texts: Sequence[str]):
    """Rows of images (the mean of their tokens) and of texts: (n, d) and (m, d) float32, unit.

    What image only and text only stand on, where BLIP-2 is to audit other models.
    """
    with torch.inference_mode():
        parts = [image_tokens(blip2.model, states.of(names[i : i + 256]).to(blip2.device)).mean(1)
                 for i in range(0, len(names), 256)]  # fmt: skip
        images = functional.normalize(torch.cat(parts), dim=-1)
        words = [text_rows(blip2.model, **blip2.tokens(texts[i : i + 256]))
                 for i in range(0, len(texts), 256)]  # fmt: skip
    return np.asarray(images.cpu()), np.asarray(torch.cat(words).cpu())
