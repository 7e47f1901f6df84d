"""Estimate the memory and the FLOPs of a run from fake tensors."""

import copy
import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avae.distributed.launcher import world_size
from avae.distributed.processes import local_rows
from avae.engine.step import Phase
from avae.errors import UserError
from avae.frameworks.base import LABELS, Framework
from avae.profiling.cost import Cost, fake_tensors, nbytes, phase_cost
from avae.recipes.build import build_framework, build_regularizers
from avae.recipes.parts import Parts
from avae.recipes.resolve import ResolvedConfig
from avae.training.checks import check_batch_split
from avae.training.phases import make_phases


@dataclass(frozen=True)
class Memory:
    """Memory of one process at its peak, in bytes.

    Attributes:
        weights, moments, average, batch: tensors held all the time.
        gradients: gradients of a micro-batch, and the sum of those before it.
        activations: all other tensors of a micro-batch.
        exchanged: concatenated gradients of the largest network, which several processes average after
            activations are freed.
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
        """Largest number of bytes held at one time."""
        held = self.weights + self.moments + self.average + self.batch + self.gradients
        return held + max(self.activations, self.exchanged)


@dataclass(frozen=True)
class Estimate:
    """Memory and FLOPs of a run.

    Attributes:
        config: configuration of the run.
        parameters: number of each network's parameters, by name.
        memory: memory by number of micro-batches, for every number that can divide the batch.
        flops: FLOPs of one process per step, by phase, averaged over steps.
    """

    config: ResolvedConfig
    parameters: dict[str, int]
    memory: dict[int, Memory]
    flops: dict[str, float]

    @property
    def local_items(self) -> int:
        """Number of items of a batch that this process has."""
        return _local_items(self.config)

    @property
    def own_memory(self) -> Memory:
        """Memory with the configured number of micro-batches."""
        return self.memory[self.config.micro_batches]


def estimate_run(config: ResolvedConfig, parts: Parts | None = None) -> Estimate:
    """Estimate the memory and the FLOPs of a run.

    Args:
        config: configuration of the run.
        parts: the parts of AVAE's representation; None for a VAE.

    Raises:
        UserError: its batches cannot be split as configured.
    """
    parts = copy.deepcopy(parts)  # their tensors are replaced
    with fake_tensors():
        framework = fake_framework(config, parts)
        check_batch_split(config, framework)
        # Fake tensors are the same on any device.
        all_phases = make_phases(
            framework,
            build_regularizers(config, framework),
            torch.device("cpu"),
            config.precision,
            config.warm_start_steps,
        )
        numbers = [k for k in candidate_micro_batches(config) if _divides(config, framework, k)]
        # The memory of a micro-batch is linear in its items: two sizes determine the others.
        counted = {min(numbers), config.micro_batches, max(numbers)}
        costs = {k: _phase_costs(config, all_phases, k) for k in sorted(counted)}
        batches = [_fake_batch(config, phase, _local_items(config)) for phase in all_phases]
        batch = max(nbytes((x, *noise.values())) for x, noise in batches)
        return Estimate(
            config,
            {
                name: sum(parameter.numel() for parameter in network.parameters())
                for name, network in framework.networks.items()
            },
            {k: _memory(config, framework, k, _peak(config, k, costs), batch) for k in numbers},
            {
                phase.name: config.micro_batches * cost.flops * phase.frequency(config.steps)
                for phase, cost in zip(all_phases, costs[config.micro_batches], strict=True)
            },
        )


def fake_framework(config: ResolvedConfig, parts: Parts | None) -> Framework:
    """Build a framework of fake tensors, in the memory layout of training."""
    for part in parts or ():
        for network in filter(None, (part.encoder, part.decoder)):
            _make_fake(network)
    framework = build_framework(config, parts=parts).train()
    for tensor in (*framework.parameters(), *framework.buffers()):
        tensor.data = _match_training(tensor.data, config)
    return framework


def _make_fake(network: nn.Module) -> None:
    """Replace the tensors of a network, which was made with real ones, by fake ones."""
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
        for name, parameter in module.named_parameters(recurse=False):
            fake = torch.empty(parameter.shape, dtype=parameter.dtype)
            module._parameters[name] = nn.Parameter(fake, requires_grad=False)


def candidate_micro_batches(config: ResolvedConfig) -> list[int]:
    """Return the numbers of micro-batches to report: powers of two, and the configured number."""
    powers = {2**k for k in range(_local_items(config).bit_length())}
    return sorted(powers | {config.micro_batches})


def _divides(config: ResolvedConfig, framework: Framework, micro_batches: int) -> bool:
    if micro_batches == config.micro_batches:
        return True
    try:
        check_batch_split(dataclasses.replace(config, micro_batches=micro_batches), framework)
    except UserError:
        return False
    return True


def _match_training(tensor: Tensor, config: ResolvedConfig) -> Tensor:
    """Return a tensor with the type and the memory layout of training."""
    dtype = torch.float64 if config.precision == "fp64" else torch.float32
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.to(dtype if tensor.is_floating_point() else tensor.dtype, memory_format=layout)


def _fake_batch(config: ResolvedConfig, phase: Phase, items: int) -> tuple[Tensor, dict[str, Tensor]]:
    x = torch.empty(items, *config.item_shape)
    noise = {name: torch.empty(shape) for name, shape in phase.noise_shapes(items).items()}
    if "head" in phase.networks:
        noise[LABELS] = torch.empty(items, dtype=torch.int64)
    return _match_training(x, config), {n: _match_training(tensor, config) for n, tensor in noise.items()}


def _local_items(config: ResolvedConfig) -> int:
    return len(local_rows(config.batch_size))


def _phase_costs(config: ResolvedConfig, all_phases: list[Phase], micro_batches: int) -> list[Cost]:
    """Return the cost of one micro-batch in every phase."""
    items = _local_items(config) // micro_batches
    return [phase_cost(phase, *_fake_batch(config, phase, items)) for phase in all_phases]


def _peak(config: ResolvedConfig, micro_batches: int, costs: dict[int, list[Cost]]) -> int:
    """Return the largest peak of a phase for any number of micro-batches, interpolated between known ones."""
    if micro_batches in costs:
        return max(cost.peak for cost in costs[micro_batches])
    most, fewest = max(costs), min(costs)
    a, b, items = (_local_items(config) // k for k in (most, fewest, micro_batches))
    pairs = zip(costs[most], costs[fewest], strict=True)
    return max(round(low.peak + (high.peak - low.peak) * (items - a) / (b - a)) for low, high in pairs)


def _memory(
    config: ResolvedConfig, framework: Framework, micro_batches: int, peak: int, batch: int
) -> Memory:
    networks = framework.networks
    sizes = [nbytes(network.parameters()) for network in networks.values()]
    averaged = [networks[name] for name in framework.ema_networks if config.ema_half_life]
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
