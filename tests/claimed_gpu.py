"""Tensors of the CPU that claim to be on a GPU: what would mix devices is an error on a machine without one, too."""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["ClaimedGpu"]

GPU, CPU = torch.device("cuda:0"), torch.device("cpu")
_TAKES_OTHER_DEVICES = {"to", "copy_", "__setitem__", "as_tensor", "tensor", "type_as"}


class _OnGpu(torch.Tensor):
    """A tensor that claims to be on a GPU."""


class ClaimedGpu(TorchFunctionMode):
    """Inside the block, ``device="cuda"`` gives tensors that claim to be there; mixing them with others is an error."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, _name(function)
        everything = tree_leaves((args, kwargs))
        tensors = [leaf for leaf in everything if isinstance(leaf, torch.Tensor)]
        claims = [isinstance(tensor, _OnGpu) for tensor in tensors]
        if function is torch.device:
            return function(*args, **kwargs)
        if name in ("device", "is_cuda"):
            return claims[0] if name == "is_cuda" else GPU if claims[0] else CPU
        if name in ("numpy", "__array__") and any(claims):
            raise TypeError("numpy cannot read a tensor on a GPU")
        if any(claims) and not _allowed(name, tensors, claims):
            found = [("gpu" if c else "cpu", tuple(t.shape)) for c, t in zip(claims, tensors, strict=True)]
            raise RuntimeError(f"{name} mixes devices: {found}")
        wanted = [torch.device(leaf) for leaf in everything if _is_device(leaf)]
        if wanted:
            args, kwargs = tree_map(lambda leaf: CPU if _is_device(leaf) else leaf, (args, kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            result = function(*args, **kwargs)
        if not (wanted or any(claims)):
            return result
        on_gpu = wanted[-1].type == "cuda" if wanted else name != "cpu" and (name != "to" or claims[-1])
        if isinstance(result, torch.Tensor):
            return _claim(result, on_gpu)
        return tree_map(lambda leaf: _claim(leaf, on_gpu) if isinstance(leaf, torch.Tensor) else leaf, result)


def _claim(tensor, on_gpu):
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(_OnGpu if on_gpu else torch.Tensor)


def _name(function):
    """Name of a function, or of the property that a getter belongs to."""
    return function.__self__.__name__ if function.__name__ == "__get__" else function.__name__


def _is_device(leaf):
    return isinstance(leaf, torch.device) or (isinstance(leaf, str) and leaf.partition(":")[0] in ("cpu", "cuda"))


def _allowed(name, tensors, claims):
    """Numbers go with tensors on a GPU, indices too, and there are copies from one device to the other."""
    others = [tensor for tensor, claim in zip(tensors, claims, strict=True) if not claim and tensor.ndim]
    return not others or name in _TAKES_OTHER_DEVICES or (name == "__getitem__" and claims[0])
