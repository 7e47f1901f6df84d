"""A device that is pretended: arithmetic of the processor, with every storage labelled by a device.

`PretendedDevice` is a context in which PyTorch behaves as if there were one GPU. It raises
`MixedDevicesError` where tensors of two devices meet in a way that a GPU refuses, and notes whatever makes
the host wait: `.item()`, `bool()`, `nonzero`, copies to the host, and copies from memory that is not pinned,
which PyTorch ends with a synchronisation. Kernels of the backward pass are seen too, as autograd stays in its
thread on a processor.

It cannot see what a GPU's kernels lack, streams and races, the operations that CUDA's own autocast lists,
speed, or memory.
"""

import contextlib
import functools
import sys
import traceback
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter

aten = torch.ops.aten
HOST, EITHER = "cpu", "either"
"""Labels besides the device's; C++ makes tensors from nothing, as in formulas of autograd, on either."""

FACTORIES = ("empty", "zeros", "ones", "full", "arange", "linspace", "eye", "rand", "randn", "randint")
FROM_HOST = ("tensor", "scalar_tensor")
LIKE = ("empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like")
NEW = ("new_empty", "new_zeros", "new_ones", "new_full")
WAITING = {
    aten._local_scalar_dense.default,
    aten.item.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten._unique2.default,
    aten.repeat_interleave.Tensor,
}
UNDECLARED = {aten.native_batch_norm.default, aten.cudnn_batch_norm.default}
"""Operations that change their arguments, but whose schema does not say so."""
INDEXING = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}


class MixedDevicesError(RuntimeError):
    """Raised where a GPU would refuse to compute."""


class PretendedGraph(TorchDispatchMode):
    """A pretended `torch.cuda.CUDAGraph`, and the context that records it.

    What is recorded is not done. A replay does it on the same memory, with the same numbers of Python.
    """

    def __init__(self) -> None:
        super().__init__()
        self._operations: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self._new: dict[int, Any] = {}
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in WAITING:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        given = list(filter(_is_real, tree_iter((args, kwargs))))
        if func._schema.is_mutable or func in UNDECLARED:
            for tensor in given:
                if _key(tensor) not in self._new and _key(tensor) not in self._before:
                    whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
                    self._before[_key(tensor)] = whole, whole.clone()
        out = func(*args, **kwargs)
        old = {_key(t) for t in given}
        made = [t for t in tree_iter(out) if not (_is_real(t) and _key(t) in old)]
        self._new |= {_key(t): t for t in made if _is_real(t)}
        self._operations.append((func, args, kwargs, made))
        return out

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        with torch.no_grad(), _disable_current_modes():
            for whole, before in self._before.values():
                whole.copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        """Do what was recorded."""
        for func, args, kwargs, made in self._operations:
            out = func(*args, **kwargs)
            old = {_key(t) for t in filter(_is_real, tree_iter((args, kwargs)))}
            again = [t for t in tree_iter(out) if not (_is_real(t) and _key(t) in old)]
            with _disable_current_modes():
                for tensor, value in zip(made, again, strict=True):
                    if _is_real(tensor):
                        tensor.copy_(value)


class PretendedDevice(TorchDispatchMode):
    """A pretended GPU.

    Args:
        kind: "cuda", or "mps", which has no float64.

    Attributes:
        device: the device.
        waits: number of times that the host would have waited, by reason and line of the program.
    """

    def __init__(self, kind: str = "cuda") -> None:
        super().__init__()
        self.kind, self.device = kind, torch.device(kind, 0)
        self.waits: Counter[str] = Counter()
        self._labels: dict[int, tuple[str, Any]] = {}
        self._pinned: dict[int, Any] = {}
        self._making: str | None = None

    @contextlib.contextmanager
    def no_waits(self) -> Iterator[None]:
        """Fail if the host waits within the context."""
        self.waits.clear()
        yield
        assert not self.waits, dict(self.waits)

    def holds(self, tensor: Tensor) -> bool:
        """Return True if a tensor is on the device."""
        return _has_storage(tensor) and self._label(tensor) == self.kind

    # Every operation

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [t for t in tree_iter((args, kwargs)) if isinstance(t, Tensor) and _has_storage(t)]
        labels = [self._label(t) for t in given]
        if self.kind in labels:
            self._check(func, given, labels)
        out = func(*args, **kwargs)
        old = {_key(t) for t in given}
        if self.kind in labels:
            label = self.kind
        elif labels:
            label = HOST if HOST in labels else EITHER
        else:
            label = self._making or EITHER
        for tensor in tree_iter(out):
            if isinstance(tensor, Tensor) and _has_storage(tensor) and _key(tensor) not in old:
                self._set(tensor, label)
        return out

    def _check(self, func: Any, given: list[Tensor], labels: list[str]) -> None:
        """Note a wait, or raise `MixedDevicesError`, for an operation on tensors of which some are here."""
        if func in WAITING:
            self._wait(str(func))
        if func in INDEXING and any(t.dtype == torch.bool for t in given[1:]):
            self._wait("an index by a mask")
        others = [t for t, label in zip(given, labels, strict=True) if label == HOST]
        if not others:
            return
        if func is aten.copy_.default:
            self._note_copy(given[1], to_device=labels[0] == self.kind, non_blocking=False)
        elif func in INDEXING:
            self._wait("indices on the host")
        elif torch.Tag.pointwise not in func.tags or any(t.ndim for t in others):
            shapes = [(tuple(t.shape), label) for t, label in zip(given, labels, strict=True)]
            raise MixedDevicesError(f"{func} of {shapes}, at {_place()}")

    # Labels

    def _label(self, tensor: Tensor) -> str:
        return self._labels.get(_key(tensor), (HOST, None))[0]

    def _set(self, tensor: Tensor, label: str) -> Tensor:
        key = _key(tensor)
        if label == HOST:
            self._labels.pop(key, None)
            return tensor
        if label == self.kind == "mps" and tensor.dtype == torch.float64:
            raise TypeError(f"MPS has no float64, at {_place()}")
        self._labels[key] = (
            label,
            weakref.ref(tensor.untyped_storage(), lambda _: self._labels.pop(key, None)),
        )
        return tensor

    def _target(self, device: Any) -> str:
        return self.kind if device is not None and torch.device(device).type == self.kind else HOST

    # Copies and waits

    def _wait(self, reason: str) -> None:
        self.waits[f"{reason}, at {_place()}"] += 1

    def _note_copy(self, source: Tensor, to_device: bool, non_blocking: bool) -> None:
        if not to_device:
            self._wait("a copy to the host")
        elif not (non_blocking and _key(source) in self._pinned):
            self._wait("a copy from memory that is not pinned, or blocking")

    def _moved(self, tensor: Tensor, device: Any, non_blocking: bool) -> Tensor:
        """Copy a tensor to another device; gradients pass."""
        label = self._target(device)
        if not _has_storage(tensor) or self.holds(tensor) == (label == self.kind):
            return tensor
        with _disable_current_modes():
            out = tensor.clone(memory_format=torch.preserve_format)
        self._note_copy(tensor, label == self.kind, non_blocking)
        return self._set(out, label)

    # What Python sees

    def __enter__(self) -> "PretendedDevice":
        self._undo = contextlib.ExitStack()
        for place, name, value in self._patches():
            inherited = isinstance(place, type) and name not in vars(place)
            before = (
                None
                if inherited
                else getattr(place, name)
                if not isinstance(place, type)
                else vars(place)[name]
            )
            setattr(place, name, value)
            if inherited:
                self._undo.callback(delattr, place, name)
            else:
                self._undo.callback(setattr, place, name, before)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._undo.close()

    def _patches(self) -> Iterator[tuple[Any, str, Any]]:
        """Yield (module or class, name, replacement)."""
        yield from self._patched_methods()
        yield from ((torch, name, self._factory(getattr(torch, name))) for name in FACTORIES)
        yield from ((torch, name, self._factory(getattr(torch, name), from_host=True)) for name in FROM_HOST)
        yield from ((torch, name, self._like(getattr(torch, name))) for name in LIKE)
        yield from ((Tensor, name, self._new(getattr(Tensor, name))) for name in NEW)
        yield Tensor, "new_tensor", self._new(Tensor.new_tensor, from_host=True)
        make = torch.tensor
        yield (
            torch,
            "as_tensor",
            lambda data, dtype=None, device=None: (
                data.to(device or data.device, dtype or data.dtype)
                if isinstance(data, Tensor)
                else make(data, dtype=dtype, device=device)
            ),
        )
        autocast = torch.autocast
        yield torch, "autocast", lambda kind, *args, **named: autocast("cpu", *args, **named)
        for place in ("torch.utils._foreach_utils", "torch.optim.optimizer", "torch.nn.utils.clip_grad"):
            module = sys.modules[place]
            yield module, _GROUP, _by_label(getattr(module, _GROUP))
        here = self.kind == "cuda"
        answers = {
            "is_available": here,
            "device_count": int(here),
            "current_device": 0,
            "is_initialized": here,
            "is_bf16_supported": here,
            "is_current_stream_capturing": False,
            "mem_get_info": (2**36, 2**36),
            "set_device": None,
        }
        for name, answer in answers.items():
            yield torch.cuda, name, _answering(answer, getattr(torch.cuda, name))
        yield torch.backends.mps, "is_available", _answering(not here, torch.backends.mps.is_available)
        for module in (torch.cuda, torch.mps, torch.accelerator):
            yield module, "synchronize", lambda *args: self._wait("synchronize")
        yield torch.cuda, "CUDAGraph", PretendedGraph
        yield torch.cuda, "graph", lambda graph: graph
        yield torch.optim.Optimizer, "_accelerator_graph_capture_health_check", lambda optimizer: None

    def _patched_methods(self) -> Iterator[tuple[Any, str, Any]]:
        """Yield what answers for a tensor where it is, and moves it."""
        to, device = Tensor.to, torch._C.TensorBase.device
        numpy, tolist, deepcopy = Tensor.numpy, Tensor.tolist, Tensor.__deepcopy__

        def find_device(tensor: Tensor) -> torch.device:
            return self.device if self.holds(tensor) else device.__get__(tensor)

        def move(tensor: Tensor, *args: Any, **named: Any) -> Tensor:
            names = ["device", "dtype", "non_blocking", "copy"]
            if args and isinstance(args[0], Tensor):
                args = (find_device(args[0]), args[0].dtype, *args[1:])
            elif args and isinstance(args[0], torch.dtype):
                names = names[1:]
            asked = {**dict(zip(names, args, strict=False)), **named}
            where, non_blocking = asked.pop("device", None), bool(asked.pop("non_blocking", False))
            asked = {name: value for name, value in asked.items() if value not in (None, False)}
            if where is not None and self._target(where) == self.kind and asked:
                tensor, asked = to(tensor, **asked), {}  # as PyTorch: converted before it is moved
            if where is not None:
                tensor = self._moved(tensor, where, non_blocking)
            return to(tensor, **asked) if asked else tensor

        def to_numpy(tensor: Tensor, *args: Any, **named: Any) -> Any:
            if self.holds(tensor):
                raise TypeError(f"a tensor of {self.device} is no array, at {_place()}")
            return numpy(tensor, *args, **named)

        def to_list(tensor: Tensor) -> Any:
            if not self.holds(tensor):
                return tolist(tensor)
            self._wait("tolist")
            with _disable_current_modes():
                return tolist(tensor)

        def pin(tensor: Tensor, *args: Any) -> Tensor:
            assert not self.holds(tensor), "only memory of the host can be pinned"
            key = _key(out := self._set(tensor.clone(), HOST))
            self._pinned[key] = weakref.ref(out.untyped_storage(), lambda _: self._pinned.pop(key, None))
            return out

        def copy_deep(tensor: Tensor, memo: Any) -> Tensor:
            label = self._label(tensor) if _has_storage(tensor) else HOST
            return self._set(deepcopy(tensor, memo), label) if label != HOST else deepcopy(tensor, memo)

        yield Tensor, "device", property(find_device)
        yield Tensor, f"is_{self.kind}", property(self.holds)
        yield Tensor, "is_cpu", property(lambda tensor: not self.holds(tensor))
        yield Tensor, "to", move
        yield Tensor, "cuda", lambda tensor, *args, **named: move(tensor, "cuda", **named)
        yield Tensor, "cpu", lambda tensor, **named: move(tensor, "cpu")
        yield Tensor, "numpy", to_numpy
        yield Tensor, "tolist", to_list
        yield Tensor, "pin_memory", pin
        yield Tensor, "is_pinned", lambda tensor, *args: _key(tensor) in self._pinned
        yield Tensor, "__deepcopy__", copy_deep

    def _factory(self, real: Callable[..., Tensor], from_host: bool = False) -> Callable[..., Tensor]:
        def make(*args: Any, device: Any = None, pin_memory: bool = False, **named: Any) -> Tensor:
            label = self._target(device)
            if device is not None and label == HOST:
                named["device"] = device
            before, self._making = self._making, label
            try:
                out = real(*args, **named)
            finally:
                self._making = before
            if not _has_storage(out):  # of a mode that makes fake tensors
                return out
            if from_host and label == self.kind:
                self._wait("a tensor of Python's numbers")
            return self._set(out, label)

        return make

    def _like(self, real: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def make(like: Tensor, *args: Any, device: Any = None, **named: Any) -> Tensor:
            out = real(like, *args, **named)
            return out if device is None or not _has_storage(out) else self._set(out, self._target(device))

        return make

    def _new(self, real: Callable[..., Tensor], from_host: bool = False) -> Callable[..., Tensor]:
        def make(like: Tensor, *args: Any, device: Any = None, **named: Any) -> Tensor:
            label = self._target(like.device if device is None else device)
            out = real(like, *args, **named)
            if from_host and label == self.kind:
                self._wait("a tensor of Python's numbers")
            return self._set(out, label) if _has_storage(out) else out

        return make


_GROUP = "_group_tensors_by_device_and_dtype"


def _by_label(real: Callable[..., Any]) -> Callable[..., Any]:
    """Name the device of a group of tensors as Python does: C++ knows no labels."""

    def group(lists: Any, with_indices: bool = False) -> Any:
        return {
            (next(t for t in tensors[0] if t is not None).device, dtype): (tensors, places)
            for (_, dtype), (tensors, places) in real(lists, with_indices).items()
        }

    return group


def _answering(answer: object, real: Callable[..., Any]) -> Callable[..., Any]:
    return functools.wraps(real)(lambda *args, **named: answer)


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _is_real(value: object) -> bool:
    return isinstance(value, Tensor) and _has_storage(value)


def _has_storage(tensor: Any) -> bool:
    plain = type(tensor) in (Tensor, torch.nn.Parameter, torch.nn.Buffer)
    return plain and torch._C._has_storage(tensor)


def _place() -> str:
    """Return the line of the program that is running."""
    frames = [f for f in traceback.extract_stack() if f.filename != __file__]
    own = [f for f in frames if "/src/avae/" in f.filename]
    last = (own or [f for f in frames if "/torch/" not in f.filename])[-1]
    return f"{last.filename.split('/src/')[-1]}:{last.lineno}"
