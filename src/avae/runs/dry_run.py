"""avae train --dry-run: what a run would take, and nothing of it done."""

import dataclasses
from collections import Counter
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor

from avae.data.locating import BUILT_IN
from avae.data.sets import NAMED
from avae.distributed import rank, share, world_size
from avae.engine.estimate import Cost, cost, nbytes, pretending
from avae.engine.rates import Rates, measured
from avae.engine.step import Phase
from avae.errors import UserError
from avae.frameworks.base import Framework
from avae.recipes.build import build_framework, build_regularizers
from avae.recipes.config import Config
from avae.recipes.defaults import completed
from avae.runs.division import check_division
from avae.runs.page import show
from avae.runs.phases import phases
from avae.runs.reading import load_with_progress
from avae.runs.settling import checked, settled

ADAM = 7
"""Times that Adam goes through the weights: it reads them, gradients and two moments, and writes all but
gradients."""


@dataclass(frozen=True)
class Memory:
    """Bytes that one process holds at its fullest.

    Attributes:
        weights, moments, average, batch: all the time.
        gradients: those of a micro-batch, and those added up before it.
        activations: the rest of what a micro-batch makes.
        exchanged: the joined gradients of the largest network, which several processes average once
            activations are gone.
    """

    weights: int
    moments: int
    average: int
    batch: int
    gradients: int
    activations: int
    exchanged: int

    @property
    def total(self) -> int:
        """Return the most there is at a time."""
        held = self.weights + self.moments + self.average + self.batch + self.gradients
        return held + max(self.activations, self.exchanged)


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        config: settled.
        device: of the run.
        parameters: by network.
        memory: by number of micro-batches, of all that can divide the batch.
        flops: of a step of this process, by phase, on average over steps.
        seconds: a step.
        rates: of the device, in this arithmetic.
    """

    config: Config
    device: torch.device
    parameters: dict[str, int]
    memory: dict[int, Memory]
    flops: dict[str, float]
    seconds: float
    rates: Rates

    @property
    def share(self) -> int:
        """Return the items of a batch that are this process's."""
        return _share(self.config)


def dry_run(config: Config, *, resume: bool = False, overwrite: bool = False) -> None:
    """Print what a run would take, and refuse settings that it would refuse; write nothing to its folder.

    Where only the pictures tell their size, they are read, and so packed in the cache, as the run would.
    """
    config, device, _ = checked(config, resume, overwrite)
    config = _settled_without_data(config)
    with Console(stderr=True, quiet=rank() > 0).status("estimating: up to a minute for large networks"):
        estimate = estimated(config, device)
    if rank() == 0:
        show(estimate)


def estimated(config: Config, device: torch.device) -> Estimate:
    """Estimate a run of a settled config on a device."""
    with pretending():
        framework = _pretended(config)
        check_division(config, framework)
        due = phases_of(config, framework)
        numbers = [k for k in _powers(config) if _divides(config, framework, k)]
        # What a micro-batch makes is a part for each item and a part for all: two sizes tell of the others.
        known = {min(numbers), config.micro_batches, max(numbers)}
        costs = {k: _costs(config, framework, due, k) for k in sorted(known)}
        parameters = {
            name: sum(parameter.numel() for parameter in network.parameters())
            for name, network in framework.networks.items()
        }
        batches = [_batch(config, phase, _share(config)) for phase in due]
        batch = max(nbytes((x, *noise.values())) for x, noise in batches)
        memory = {k: _memory(config, framework, k, _peak(config, k, costs), batch) for k in numbers}
    own = costs[config.micro_batches]
    rates = measured(own[0][1], device, _arithmetic(config))
    return Estimate(
        config,
        device,
        parameters,
        memory,
        {phase.name: config.micro_batches * cost.flops / phase.every for phase, cost in own},
        _seconds(config, framework, own, rates),
        rates,
    )


def _settled_without_data(config: Config) -> Config:
    """Fill in what published data sets are known to decide; for others, read the data as training does."""
    named = NAMED.get(config.data.partition(":")[0])
    if named and config.network == "mlp":
        raise UserError(f"--network mlp does not fit {named.name}, which is made of images")
    size = config.size or (named.size if named else None)
    if config.data in BUILT_IN or size is None:
        return settled(config, load_with_progress(config.data, config))
    return completed(dataclasses.replace(config, size=size, channels=config.channels or 3))


def phases_of(config: Config, framework: Framework) -> list[Phase]:
    """Return the phases of the run; on a processor, for what is pretended is the same everywhere."""
    return phases(framework, build_regularizers(config, framework), torch.device("cpu"), config.precision)


def _pretended(config: Config) -> Framework:
    """Build a framework without data, laid out in memory as in training."""
    framework = build_framework(config).train()
    for tensor in (*framework.parameters(), *framework.buffers()):
        tensor.data = _laid_out(tensor.data, config)
    for control in framework.controls.values():
        control.state = torch.empty_like(control.state)
    return framework


def _laid_out(tensor: Tensor, config: Config) -> Tensor:
    dtype = torch.float64 if config.precision == "fp64" else torch.float32
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.to(dtype if tensor.is_floating_point() else tensor.dtype, memory_format=layout)


def _batch(config: Config, phase: Phase, items: int) -> tuple[Tensor, dict[str, Tensor]]:
    side = () if config.network == "mlp" else (config.size or 0,) * 2
    x = torch.empty(items, config.channels or 0, *side)
    noise = {name: torch.empty(shape) for name, shape in phase.noise_shapes(items).items()}
    return _laid_out(x, config), {name: _laid_out(tensor, config) for name, tensor in noise.items()}


def _share(config: Config) -> int:
    return len(share(config.batch_size))


def _costs(
    config: Config, framework: Framework, due: list[Phase], micro_batches: int
) -> list[tuple[Phase, Cost]]:
    """Return what one micro-batch takes, by phase."""
    items = _share(config) // micro_batches
    return [(phase, cost(phase, framework.networks, *_batch(config, phase, items))) for phase in due]


def _peak(config: Config, micro_batches: int, costs: dict[int, list[tuple[Phase, Cost]]]) -> int:
    """Return the most bytes that a phase makes, known for some numbers of micro-batches, for any."""
    if micro_batches in costs:
        return max(cost.peak for _, cost in costs[micro_batches])
    few, many = max(costs), min(costs)
    a, b, items = (_share(config) // k for k in (few, many, micro_batches))
    pairs = zip(costs[few], costs[many], strict=True)
    return max(
        round(low.peak + (high.peak - low.peak) * (items - a) / (b - a)) for (_, low), (_, high) in pairs
    )


def _memory(config: Config, framework: Framework, micro_batches: int, peak: int, batch: int) -> Memory:
    networks = framework.networks
    sizes = [nbytes(network.parameters()) for network in networks.values()]
    averaged = [networks[name] for name in framework.averaged if config.ema_half_life]
    gradients = sum(sizes)
    return Memory(
        weights=gradients + nbytes(framework.buffers()),
        moments=2 * gradients,
        average=sum(nbytes((*each.parameters(), *each.buffers())) for each in averaged),
        batch=batch,
        gradients=gradients * (1 if micro_batches == 1 else 2),
        activations=max(0, peak - gradients),
        exchanged=max(sizes) if world_size() > 1 else 0,
    )


def _seconds(config: Config, framework: Framework, own: list[tuple[Phase, Cost]], rates: Rates) -> float:
    """Return how long an average step takes."""
    adam = Counter({(0, ADAM * nbytes(framework.parameters())): 1})
    return sum(
        (config.micro_batches * rates.seconds(cost.operations) + rates.seconds(adam)) / phase.every
        for phase, cost in own
    )


def _arithmetic(config: Config) -> torch.dtype:
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}[config.precision]


def _powers(config: Config) -> list[int]:
    """Return the numbers of micro-batches to tell of: powers of two, and the one asked for."""
    powers = {2**k for k in range(_share(config).bit_length())}
    return sorted(powers | {config.micro_batches})


def _divides(config: Config, framework: Framework, micro_batches: int) -> bool:
    if micro_batches == config.micro_batches:
        return True
    try:
        check_division(dataclasses.replace(config, micro_batches=micro_batches), framework)
    except UserError:
        return False
    return True
