"""A Q-Former that also runs on query tokens alone, without a picture to look at.

``transformers`` skips the cross-attention of a layer only where there are no query tokens at all.
Methods of composed retrieval put their own tokens in the place of the queries and leave the picture
out; the layers here then skip the cross-attention and do all the rest. With a picture, or without
query tokens, they compute what the original ones do, under the same names.
"""

import copy

import torch
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerLayer


class ImageOptionalLayer(Blip2QFormerLayer):
    """``Blip2QFormerLayer`` whose cross-attention is skipped where no picture is given."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        query_length: int = 0,
        **options,
    ) -> torch.Tensor:
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


class ImageOptionalQFormer(Blip2QFormerModel):
    """``Blip2QFormerModel`` of such layers; its weights have the original's names and shapes.

    Examples
    --------
    >>> small = Blip2QFormerConfig(
    ...     hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8
    ... )
    >>> ImageOptionalQFormer(small)(query_embeds=torch.ones(1, 3, 8)).last_hidden_state.shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, config: Blip2QFormerConfig):
        super().__init__(config)
        self.encoder.layer = nn.ModuleList(
            ImageOptionalLayer(config, number) for number in range(config.num_hidden_layers)
        )
        self.post_init()


def image_optional(original: Blip2QFormerModel) -> ImageOptionalQFormer:
    """The same Q-Former, with copies of its weights, that needs no picture.

    Parameters
    ----------
    original : transformers.Blip2QFormerModel
        Is left as it is.
    """
    made = ImageOptionalQFormer(copy.deepcopy(original.config))
    first = next(original.parameters())
    made = made.to(first.device, first.dtype)
    made.load_state_dict(original.state_dict())
    return made.train(original.training)
