"""A pretended GPU: tensors that say they are on another device, and operations that refuse to mix the two.

What is computed there is computed on the CPU, so it must give the CPU's bytes. As on a GPU, a tensor made without a
device lies on the CPU, a generator of the CPU draws for the CPU alone, and only numbers and indices may come from it.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = torch.device("meta")
INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_")
JOINED = ("cat", "stack")  # elsewhere a number of the CPU goes with tensors of any device


class Elsewhere(torch.Tensor):
    """A tensor of that device around the one of the CPU that holds its numbers."""

    @staticmethod
    def __new__(cls, inner):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, device=ELSEWHERE, **layout)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class _Made(TorchFunctionMode):
    """`torch.tensor` and `torch.as_tensor` write into memory, which the pretended device has none of."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in (torch.tensor, torch.as_tensor) or kwargs.get("device") is None:
            return function(*args, **kwargs)
        if torch.device(kwargs["device"]) != ELSEWHERE:
            return function(*args, **kwargs)
        if isinstance(args[0], torch.Tensor):
            return args[0].to(**kwargs)
        return function(*args, **kwargs | {"device": "cpu"}).to(ELSEWHERE)


def _run(function, args, kwargs):
    name = function.name().removeprefix("aten::").partition(".")[0]
    there = any(isinstance(leaf, Elsewhere) for leaf in tree_flatten((args, kwargs))[0])
    if there and name != "copy_":
        together = (args[0], *args[2:]) if name in INDEXED else (args, kwargs)  # what an index comes from is all one
        tensors = [leaf for leaf in tree_flatten(together)[0] if isinstance(leaf, torch.Tensor)]
        strange = [tuple(x.shape) for x in tensors if not isinstance(x, Elsewhere) and (x.dim() or name in JOINED)]
        if strange:
            raise RuntimeError(f"{name}: tensors on two devices, those on the CPU of shapes {strange}")
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]) == ELSEWHERE
        kwargs = kwargs | {"device": torch.device("cpu")}
    if there and kwargs.get("generator") is not None:
        raise RuntimeError(f"{name}: a generator of the CPU draws for a tensor that is elsewhere")
    inner_args, inner_kwargs = tree_map(lambda x: x.inner if isinstance(x, Elsewhere) else x, (args, kwargs))
    out = function(*inner_args, **inner_kwargs)
    if name.endswith("_") and isinstance(args[0], Elsewhere):
        return args[0]
    return tree_map(lambda x: Elsewhere(x) if there and isinstance(x, torch.Tensor) else x, out)


@contextlib.contextmanager
def elsewhere(*_: object) -> Iterator[torch.device]:
    """Within it the device exists, and `.to(device)` moves tensors and modules there."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _Made(), _Operations():
            yield ELSEWHERE
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
