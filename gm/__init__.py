"""Deep generative models, benchmarked reproducibly. Importing this package costs nothing."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gm.model import Model

__version__ = "0.1.0"


def load(path: str) -> "Model":
    """Load a trained contestant from its `model.safetensors`; `gm.load(path).sample(16)` is all a notebook needs.

    Arguments:
        path: the weight file, or the folder of a run that holds it.

    Returns:
        The fitted `gm.model.Model`.
    """
    from gm.model import load as load_model

    return load_model(path)
