"""Steps of every framework and network on a GPU, a pretended one where there is none: none waits for it."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pretended import PretendedDevice

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
cases = pytest.importorskip("on_gpu.cases", reason="no benchmarks/ beside these tests")
waits = pytest.importorskip("on_gpu.waits")


class RealDevice:
    """What `PretendedDevice` is, for a GPU that is there."""

    device = torch.device("cuda")

    def __enter__(self) -> "RealDevice":
        return self

    def __exit__(self, *error: object) -> None: ...

    def no_waits(self) -> Any:
        return waits.waits_are_errors(self.device)

    def holds(self, tensor: torch.Tensor) -> bool:
        return tensor.is_cuda


def accelerator() -> RealDevice | PretendedDevice:
    return RealDevice() if torch.cuda.is_available() else PretendedDevice()


def test_regularizers_are_not_rounded_to_tf32():
    settings = {"framework": "gan", "path_length": 0.1, "r1": 0.1}
    lazy, constant = (
        {
            phase.name: phase.tf32
            for phase in cases.small_trainer(torch.device("cpu"), **settings, **more).phases
        }
        for more in ({"penalty_every": 16}, {"penalty_every": 1})
    )
    assert lazy == {"main": True, "r1": False, "path_length": False}
    assert constant == {"main": False, "path_length": False}


@pytest.mark.parametrize("model", cases.CHOICES["model"], ids=cases.name_of)
def test_no_step_waits_and_all_that_is_kept_is_on_the_device(model):
    """Terms are in fp32 whatever the precision: in bf16 they would be coarse."""
    for case in cases.cases():
        if any(case.get(name) != model.get(name) for name in ("framework", "representation")):
            continue
        with accelerator() as device:
            trainer = cases.small_trainer(device.device, **{**case, "width": 2, "code_dim": 3})
            step = cases.take_steps(trainer)
            step(0)
            try:
                with device.no_waits():
                    terms = step(16)
            except Exception as error:
                raise AssertionError(cases.name_of(case)) from error
            kept = {**trainer.checkpoints._tensors(), **trainer.framework.state_dict(), **terms}
            elsewhere = [n for n, t in kept.items() if not device.holds(t) and "n_averaged" not in n]
            assert not elsewhere, f"{cases.name_of(case)}: on the host: {elsewhere}"
            assert {term.dtype for term in terms.values()} == {torch.float32}
