"""The methods of an adapter, each in its three moments: put on a model, written, put back.

LoRA and its kin are peft's; ``qlora`` quantizes the base before peft comes; the tokens of a prompt
are put in without peft, which has no such adapter for dual encoders.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peft import PeftModel, get_peft_model
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from helpers.first.models.adapter_base import AdapterError, Base
from helpers.first.models.placement import Placement, lora_config
from helpers.first.models.prompts import fill_prompts, insert_prompts, prompt_tensors
from helpers.first.models.quantized import QUANTIZATION, quantize
from helpers.models.checkpoints import reason

PEFT_FILES = ("adapter_model.safetensors", "adapter_config.json")
PROMPT_FILE = "prompt.safetensors"


def quantization_of(placement: Placement) -> str:
    """How the base of an adapter is quantized; empty: it is not."""
    return QUANTIZATION if placement.method == "qlora" else ""


def weight_files(placement: Placement) -> tuple[str, ...]:
    """The files that hold what was learned, logit scale and bias aside."""
    return (PROMPT_FILE,) if placement.method == "prompt" else PEFT_FILES


def put_on(
    model: PreTrainedModel, placement: Placement, *, device: str, base: Base
) -> PeftModel | None:
    """Put fresh trainable weights into a frozen model, in place.

    Returns
    -------
    peft.PeftModel or None
        The same network, as peft sees it; None for a prompt.

    Raises
    ------
    PlacementError
        If the placement does not fit the model.
    AdapterError
        If the device cannot quantize.
    """
    if placement.method == "prompt":
        insert_prompts(model, placement)
        return None
    config = lora_config(placement, model)  # refuses before anything is quantized
    if placement.method == "qlora":
        quantize(model, device=device)
    config.revision = base.revision or None
    with _without_a_stale_warning():
        wrapped = get_peft_model(model, config)
    config.base_model_name_or_path = base.name  # peft wrote the folder it came from
    return wrapped


def write_weights(
    folder: Path, model: PreTrainedModel, wrapped: PeftModel | None, placement: Placement
) -> None:
    """Write ``weight_files`` to a folder."""
    if wrapped is None:
        save_file(prompt_tensors(model, placement), folder / PROMPT_FILE)
    else:
        # Without the explicit False peft asks the hub whether the vocabulary has grown.
        wrapped.save_pretrained(folder, save_embedding_layers=False)


def put_back(
    model: PreTrainedModel, placement: Placement, folder: Path, *, device: str
) -> PeftModel | None:
    """Put the weights of a folder into a frozen model, in place; see :func:`put_on`.

    Raises
    ------
    AdapterError
        If the tokens of a prompt do not fit, or the device cannot quantize.
    """
    if placement.method == "prompt":
        insert_prompts(model, placement)
        try:
            fill_prompts(model, placement, load_file(folder / PROMPT_FILE))
        except (SafetensorError, ValueError) as error:
            raise AdapterError(
                f"{folder / PROMPT_FILE} does not fit its placement ({error}): save it again"
            ) from error
        return None
    if placement.method == "qlora":
        quantize(model, device=device)
    try:
        with _without_a_stale_warning():
            return PeftModel.from_pretrained(model, str(folder))
    except Exception as error:
        raise AdapterError(
            f"the adapter {folder} cannot be put on its model ({reason(error)}): train it "
            "again with the libraries that are installed here"
        ) from error


@contextmanager
def _without_a_stale_warning() -> Iterator[None]:
    """peft asks transformers by an old name whether it trades memory for time; nothing is wrong."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*is_gradient_checkpointing", category=FutureWarning
        )
        yield
