"""The text tower alone, under onnxruntime: what a search by text needs, and nothing more.

torch and transformers take seconds to import; a tokenizer's file and an ONNX graph open in a tenth
of one. The graph is exported from the encoder and compared with it before anything is kept. A
SentencePiece tokenizer of SigLIP has rules in its class: that class of transformers, without torch,
reads texts here too.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.evaluation.ranking import check_embeddings
from helpers.topics.serving import onnx
from helpers.topics.serving.index import Space, space_of

if TYPE_CHECKING:
    from helpers.models.encoder import Encoder

GRAPH, TOKENIZER, ABOUT = "text_tower.onnx", "tokenizer.json", "text_tower.json"
TOLERANCE = 1e-4  # of an embedding's entries, between torch and onnxruntime


class TowerError(ValueError):
    """A text tower that does not do what its encoder does."""


@dataclass(frozen=True, eq=False)
class TextTower:
    """Captions in, unit rows out, in the place of an encoder wherever only texts are embedded.

    Attributes
    ----------
    space : Space
        Of the encoder that it was exported from.
    session : onnxruntime.InferenceSession
    token_ids : callable
        Captions to lists of token ids, each of the tower's length.
    """

    space: Space
    session: Any
    token_ids: Callable[[list[str]], list[list[int]]]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.space.model

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return self.space.dimension

    def tokens(self, captions: Sequence[str]) -> np.ndarray:
        """(n, length) int64, padded to the tower's full length."""
        return np.array(self.token_ids(list(captions)), dtype=np.int64)

    def texts(self, captions: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
        """Embeddings of captions, (n, dimension) float32, unit rows.

        Raises ``InvalidEmbeddings`` if a row is not finite or zero, or all of several are the same.
        """
        tokens = self.tokens(captions)
        rows = [
            self.session.run(None, {"input_ids": tokens[start : start + batch_size]})[0]
            for start in range(0, len(tokens), batch_size)
        ]
        done = np.concatenate(rows) if rows else np.empty((0, self.dimension), np.float32)
        return check_embeddings(done, name=f"text embeddings of {self.name}")

    def images(self, images: Sequence[Any]) -> np.ndarray:
        """Raises ``TowerError``: only the text tower is here."""
        raise TowerError(f"{self.name} was opened for texts alone: open the encoder for images")


def export_text_tower(encoder: "Encoder", captions: Sequence[str]) -> dict[str, bytes]:
    """The files of an encoder's text tower, by name.

    Parameters
    ----------
    encoder : Encoder
        In fp32; an adapter's update is part of the graph.
    captions : sequence of str
        At least two different ones, on which graph and tokenizer are compared with the encoder.

    Raises
    ------
    TowerError
        If tokens differ, or an entry of an embedding by more than ``TOLERANCE``.
    """
    if encoder.precision != "fp32":
        raise TowerError(f"{encoder.name} is in {encoder.precision}: export it in fp32")
    tokenizer = encoder.processor.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    about = {
        "space": asdict(space_of(encoder)),
        "texts": encoder.text_rules,
        "length": encoder.text_length,
        "pad_id": int(tokenizer.pad_token_id),
        "pad_token": str(tokenizer.pad_token),
        "reader": "" if backend else type(tokenizer).__name__,
    }
    files = {
        GRAPH: _graph(encoder),
        ABOUT: json.dumps(about, indent=1).encode(),
        **({TOKENIZER: backend.to_str().encode()} if backend else _saved(tokenizer)),
    }
    compare(encoder, open_text_tower(files), list(dict.fromkeys(captions)))
    return files


def open_text_tower(files: dict[str, bytes], *, threads: int = 0) -> TextTower:
    """A text tower from the files that ``export_text_tower`` made; ``threads`` 0: all cores."""
    about = json.loads(files[ABOUT])
    read = _class_of_transformers(files, about) if about["reader"] else _rules(files, about)
    return TextTower(Space(**about["space"]), onnx.session(files[GRAPH], threads=threads), read)


def compare(encoder: "Encoder", tower: TextTower, captions: Sequence[str]) -> None:
    """Hold a tower against its encoder; ``TowerError`` where tokens or embeddings differ."""
    theirs = encoder.prepare_texts(captions)["input_ids"].numpy()
    if not np.array_equal(theirs, tower.tokens(captions)[:, : theirs.shape[1]]):
        raise TowerError(
            f"the tokenizer file of {encoder.name} gives other tokens than its processor: "
            "search with the whole encoder"
        )
    far = float(np.abs(encoder.texts(captions) - tower.texts(captions)).max())
    if far > TOLERANCE:
        raise TowerError(
            f"the exported text tower of {encoder.name} differs by {far:.1e} from the encoder, "
            f"more than {TOLERANCE:g}: search with the whole encoder"
        )


def _graph(encoder: "Encoder") -> bytes:
    """Token ids (n, text_length) to unit rows (n, d) as an ONNX graph.

    No later token changes what CLIP reads before it, so that no mask is needed for the padding.
    """
    import torch
    from torch.nn import functional as F

    class Text(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = encoder.model

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            rows = self.model.get_text_features(input_ids=input_ids, attention_mask=None)
            return F.normalize(rows.pooler_output, dim=-1)

    tokens = torch.ones((2, encoder.text_length), dtype=torch.int64, device=encoder.device)
    try:
        return onnx.export(Text(), tokens, "input_ids")
    except Exception as error:  # of whatever kind, the exporter did not understand the model
        first = next(iter(str(error).strip().splitlines()), "no reason given")
        raise TowerError(
            f"the text tower of {encoder.name} could not be exported ({type(error).__name__}: "
            f"{first}): search with the whole encoder"
        ) from error


def _rules(files: dict[str, bytes], about: dict[str, Any]) -> Callable:
    """All rules stand in one file, which opens without transformers."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(files[TOKENIZER].decode())
    length = int(about["length"])
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=about["pad_id"], pad_token=about["pad_token"])
    return lambda captions: [done.ids for done in tokenizer.encode_batch(captions)]


def _saved(tokenizer: Any) -> dict[str, bytes]:
    """The files of a tokenizer whose rules are partly a class of transformers."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _class_of_transformers(files: dict[str, bytes], about: dict[str, Any]) -> Callable:
    """The encoder's own tokenizer; its class comes without torch."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        for name in files.keys() - {GRAPH, ABOUT}:
            (Path(folder) / name).write_bytes(files[name])
        tokenizer = getattr(transformers, about["reader"]).from_pretrained(folder)
    how = {"padding": "max_length", "truncation": True, "max_length": int(about["length"])}
    return lambda captions: tokenizer(captions, **how)["input_ids"]
