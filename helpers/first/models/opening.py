"""Where a checkpoint lies, and whether it fills its model, with errors that say what to do."""

from typing import Any

from helpers.first import paths
from helpers.first.models.loading import ModelError, resolve_model
from helpers.first.models.tiny import TINY_MODELS


def place_of(model: str, *, tiny: str) -> str:
    """The directory or hub id behind a model's name, where ``tiny`` names a tiny checkpoint.

    Raises
    ------
    ModelError
        If nothing lies there.
    """
    if model != tiny:
        if "/" not in model and not paths.find(model).is_dir():
            if model in TINY_MODELS:
                return resolve_model(model)
            raise ModelError(
                f"no model at {model!r}: give {tiny}, a directory, or a hub id of the form "
                "owner/name"
            )
        return resolve_model(model)
    folder = paths.tiny() / tiny
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no model: make it with 'course pretrain {tiny}'")
    return str(folder)


def check_filled(loaded: dict[str, Any], model: str, where: str) -> None:
    """Refuse weights that leave part of a model as it was drawn.

    Parameters
    ----------
    loaded : dict
        The loading info of ``from_pretrained``.

    Raises
    ------
    ModelError
        If a weight is missing or of another shape.
    """
    if wrong := sorted(map(str, [*loaded["missing_keys"], *loaded["mismatched_keys"]])):
        raise ModelError(
            f"the weights of model {model!r} at {where} do not fill its configuration: "
            f"{wrong[0]} and {len(wrong) - 1} more are missing or of another shape"
        )
