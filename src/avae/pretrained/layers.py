"""The features of a network at one of its layers."""

from typing import Any

from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from avae.errors import did_you_mean, in_a_line
from avae.pretrained.spec import Spec

_KEY = "features"


class UpToLayer(nn.Module):
    """The output of a sub-module; what comes after it is neither computed nor kept."""

    def __init__(self, traced: nn.Module) -> None:
        super().__init__()
        self.traced = traced

    def forward(self, x: Tensor) -> Any:
        return self.traced(x)[_KEY]


def up_to_layer(
    network: nn.Module, layer: str, spec: Spec, tracer: dict[str, Any] | None = None
) -> nn.Module:
    """Return the network up to a layer, in evaluation mode; it shares the modules of `network`.

    Args:
        layer: dotted name of a sub-module.
        tracer: options of the tracer, for operations that it cannot follow.

    Raises:
        UserError: there is no such layer, or the tracer does not reach it.
    """
    names = [name for name, _ in network.named_modules() if name]
    if layer not in names:
        top = ", ".join(name for name, _ in network.named_children())
        raise spec.error(f"it has no layer '{layer}'{did_you_mean(layer, names)}; the outermost are {top}")
    try:
        traced = create_feature_extractor(
            network.eval(), {layer: _KEY}, tracer_kwargs=tracer, suppress_diff_warning=True
        )
    except Exception as error:  # the tracer runs the library's code on symbols, which may raise anything
        raise spec.error(
            f"the output of '{layer}' cannot be taken ({in_a_line(error)}): name another layer"
        ) from None
    return UpToLayer(traced)
