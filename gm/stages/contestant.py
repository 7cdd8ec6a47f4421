"""The border between a model's failure, which is a result, and the machine's, which is an error."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gm.model import Diverged
from gm.stages.job import Failed

# The last is an error of the GPU itself, which torch has had a name for since 2.8.
MACHINE = (OSError, MemoryError, torch.OutOfMemoryError, getattr(torch, "AcceleratorError", MemoryError))


@contextmanager
def contestant() -> Iterator[None]:
    """Inside this block an exception is the model's failure; a full disk or a lack of memory stays the machine's."""
    try:
        yield
    except Diverged as error:
        raise Failed("diverged", str(error)) from error
    except MACHINE:
        raise
    except Exception as error:
        traceback.print_exc()
        raise Failed("error", f"{type(error).__name__}: {error}") from error
