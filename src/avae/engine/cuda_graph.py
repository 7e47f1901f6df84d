"""Replay the kernels of a compiled step as one CUDA graph.

A step launches hundreds of short kernels, and the host needs longer to launch them than a GPU to run them. A
graph of them is launched by one call. Its kernels read and write the same memory at every call, so items and
noise are copied to where it reads them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from avae.engine.step import GradientsAndTerms
from avae.frameworks.base import Noise

WARM_UP = 3
"""Calls before the capture: libraries allocate their memory at first calls."""

StepFn = Callable[[Tensor, Noise], GradientsAndTerms]


def capture(function: StepFn, x: Tensor, noise: Noise) -> StepFn:
    """Return a function as a graph; call it `WARM_UP` times.

    The next call overwrites the gradients that the returned function returns, but not the terms.

    Args:
        function: launches the same kernels on the same memory at every call, and depends on no other values.
        x, noise: items and noise on a GPU, with the shapes and layout of all later calls.

    Raises:
        RuntimeError: it does what cannot be captured, such as waiting for the GPU, or memory runs out.
    """
    given_x, given_noise = x.clone(), {name: tensor.clone() for name, tensor in noise.items()}
    stream = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            function(given_x, given_noise)
    torch.cuda.current_stream(x.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        by_network, terms = function(given_x, given_noise)

    def replay(x: Tensor, noise: Noise) -> GradientsAndTerms:
        given_x.copy_(x)
        for name, tensor in noise.items():
            given_noise[name].copy_(tensor)
        graph.replay()
        return dict(by_network), {name: term.clone() for name, term in terms.items()}

    return replay
