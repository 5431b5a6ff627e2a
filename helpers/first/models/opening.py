"""The door of a model: what its weights, tokenizer and preprocessor give is held against each other.

A checkpoint is a folder of parts, and libraries open parts that do not belong together in silence:
an empty tokenizer where none lies there, tokens that the model has no embedding for, pictures of
another size. Each is refused here, once, with the numbers and the file.
"""

import re
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from PIL import Image
from transformers import AutoProcessor, PreTrainedModel

from helpers.models.checkpoints import (
    PREPROCESSORS,
    VOCABULARIES,
    Checkpoint,
    ModelError,
    opened,
    reason,
)

TABLE_STEP = 128  # tables of token embeddings are often rounded up to a multiple of 64 or 128
LAYER = re.compile(r"encoder\.layers?\.\d+\.")


def check_filled(loaded: dict[str, Any], checkpoint: Checkpoint) -> None:
    """Refuse weights and a configuration that belong to two models.

    Parameters
    ----------
    loaded : dict
        The loading info of ``from_pretrained``.

    Raises
    ------
    ModelError
        If a weight is missing, is of another shape, or is of a layer that the model has not.
    """
    for name, there, here in sorted(loaded["mismatched_keys"]):
        raise ModelError(
            f"the weights of {checkpoint} do not fit its config.json: {name} is {tuple(there)} in "
            f"the weights and {tuple(here)} by config.json, so one of them is of another model; "
            f"{checkpoint.remedy}"
        )
    if missing := sorted(loaded["missing_keys"]):
        raise ModelError(
            f"the weights of {checkpoint} do not fill its configuration: {missing[0]} and "
            f"{len(missing) - 1} more are missing; {checkpoint.remedy}"
        )
    if more := sorted(name for name in loaded["unexpected_keys"] if LAYER.search(name)):
        raise ModelError(
            f"the weights of {checkpoint} hold layers that its config.json does not name: "
            f"{more[0]} and {len(more) - 1} more; one of the two files is of another model; "
            f"{checkpoint.remedy}"
        )


def open_processor(checkpoint: Checkpoint, network: PreTrainedModel) -> Any:
    """Tokenizer and preprocessor of a dual encoder, as its family was trained with them.

    Every SigLIP was trained on texts in lower case; where its tokenizer keeps capitals (SigLIP 2 has
    Gemma's), it lowers them from here on, for whatever reads texts with it.

    Parameters
    ----------
    checkpoint : Checkpoint
    network : transformers.PreTrainedModel
        Its configuration alone counts.

    Raises
    ------
    ModelError
        If one of the two is missing or belongs to another model.
    """
    processor = open_parts(checkpoint)
    check_tokens(processor.tokenizer, network.config.text_config.vocab_size, checkpoint)
    if network.config.model_type == "siglip":
        lower_texts(processor.tokenizer, checkpoint)
    else:
        _check_end(processor.tokenizer, network.config.text_config, checkpoint)
    return processor


def open_parts(checkpoint: Checkpoint, kind: Any = AutoProcessor) -> Any:
    """A processor with both its parts. Raises ``ModelError`` where one of them is not there."""
    find_vocabulary(checkpoint)
    if not any((checkpoint.folder / name).is_file() for name in PREPROCESSORS):
        raise ModelError(
            f"{checkpoint} has no preprocessor: neither {' nor '.join(PREPROCESSORS)} lies beside "
            f"its weights; {checkpoint.remedy}"
        )
    processor = opened(kind, checkpoint, what="tokenizer or preprocessor")
    for part, files in (("tokenizer", VOCABULARIES), ("image_processor", PREPROCESSORS)):
        if getattr(processor, part, None) is None:
            raise ModelError(
                f"{checkpoint} has no complete processor: its {part.replace('_', ' ')} "
                f"({' or '.join(files)}) makes none; {checkpoint.remedy}"
            )
    return processor


def find_vocabulary(checkpoint: Checkpoint, folder: str = "") -> str:
    """The names of the files that hold a tokenizer's tokens.

    Raises
    ------
    ModelError
        If there are none, for which transformers makes an empty tokenizer in silence.
    """
    place = checkpoint.folder / folder
    found = [name for name in VOCABULARIES if (place / name).is_file()]
    where = f"{folder} of {checkpoint}" if folder else str(checkpoint)
    if not found:
        raise ModelError(
            f"{where} has no tokenizer: none of {', '.join(VOCABULARIES)} lies beside its weights; "
            f"{checkpoint.remedy}"
        )
    if found == ["vocab.json"] and not (place / "merges.txt").is_file():
        raise ModelError(
            f"{where} has no whole tokenizer: merges.txt does not lie beside vocab.json; "
            f"{checkpoint.remedy}"
        )
    return " and ".join(found)


def check_tokens(tokenizer: Any, rows: int, checkpoint: Checkpoint, *, folder: str = "") -> None:
    """Refuse a tokenizer whose tokens are not those of the model's table of embeddings.

    Parameters
    ----------
    rows : int
        Of that table.
    folder : str
        Where the tokenizer lies, below the checkpoint's folder.

    Raises
    ------
    ModelError
        If there are more tokens than rows, or so few that rows are left which no rounding explains.
    """
    where = f"in {folder} of {checkpoint}" if folder else f"of {checkpoint}"
    try:
        known = 1 + max(tokenizer.get_vocab().values(), default=-1)
    except Exception as error:
        raise ModelError(f"the tokenizer {where} cannot be read ({reason(error)})") from error
    rounded = -(-known // TABLE_STEP) * TABLE_STEP
    if known > rows or rows > rounded:
        raise ModelError(
            f"the tokenizer {where} is of another model: it has {known:,} tokens, the model "
            f"{rows:,}; put the model's own {find_vocabulary(checkpoint, folder)} there"
        )


def _check_end(tokenizer: Any, config: Any, checkpoint: Checkpoint) -> None:
    """CLIP reads a text at its end token: the tokenizer has to write that one.

    Configurations from before 2023 name token 2; for them the model takes the greatest number.
    """
    ids = tokenizer("a soup")["input_ids"]
    end = max(ids) if config.eos_token_id == 2 else config.eos_token_id
    if ids[-1] != end:
        raise ModelError(
            f"the tokenizer of {checkpoint} ends a text with "
            f"token {ids[-1]}, the model reads it at token {end}: put the model's own tokenizer "
            "files there"
        )


def check_pixels(image_processor: Any, px: int, checkpoint: Checkpoint) -> None:
    """Refuse a preprocessor that makes pictures of another size than the model takes.

    Parameters
    ----------
    px : int
        Side of the pictures that the vision tower reads.

    Raises
    ------
    ModelError
    """
    try:
        made = image_processor(images=[Image.new("RGB", (px + 3, px + 1))], return_tensors="np")
        shape = tuple(made["pixel_values"].shape)
    except Exception as error:
        raise ModelError(
            f"the preprocessor of {checkpoint} makes no picture ({reason(error)})"
        ) from error
    if shape != (1, 3, px, px):
        found = next(n for n in PREPROCESSORS if (checkpoint.folder / n).is_file())
        sides = " x ".join(map(str, shape[2:]))
        raise ModelError(
            f"the preprocessor of {checkpoint} is of another model: it makes pictures of {sides} pixels, "
            f"the model takes {px} x {px}; put the model's own {found} there"
        )


def lowers(tokenizer: Any) -> bool:
    """Whether capitals and small letters give the same tokens."""
    both = [ascii_uppercase, ascii_lowercase]
    capitals, small = tokenizer(both, truncation=False, verbose=False)["input_ids"]
    return capitals == small


def lower_texts(tokenizer: Any, checkpoint: Checkpoint) -> None:
    """Make a tokenizer lower its texts, in place, unless it does.

    Raises
    ------
    ModelError
        If it cannot be made to.
    """
    if lowers(tokenizer):
        return
    if backend := getattr(tokenizer, "backend_tokenizer", None):
        from tokenizers import normalizers

        first = [normalizers.Lowercase(), *filter(None, [backend.normalizer])]
        backend.normalizer = normalizers.Sequence(first)
    elif hasattr(tokenizer, "do_lower_case"):
        tokenizer.do_lower_case = True
    if not lowers(tokenizer):
        raise ModelError(
            f"the tokenizer of {checkpoint} keeps capitals, "
            "and the model was trained on small letters: put the model's own tokenizer files there"
        )
