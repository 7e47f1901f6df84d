"""Networks for classes: a generator and a critic that know the class, a head that reads it from codes."""

from torch import Tensor, nn

GAIN = 10.0
"""Factor of a `ClassHead`'s logits: Adam moves a weight by its learning rate, however large the gradient."""


class ConditionalGenerator(nn.Module):
    """A generator whose body gets the embedding of a class, a learned vector, after its other inputs.

    Args:
        body: codes with `features` further features -> x, built like a generator.
        classes: number of classes.
        features: number of features of an embedding.
    """

    def __init__(self, body: nn.Module, classes: int, features: int) -> None:
        super().__init__()
        self.body = body
        self.embedding = nn.Embedding(classes, features)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return items x of codes z (N, d), possibly xi, and labels (N,) int64, in this order."""
        x: Tensor = self.body(*self.body_inputs(*inputs))
        return x

    def body_inputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs of the body: the same with the embedding (N, features) of the labels."""
        *codes, labels = inputs
        return *codes, self.embedding(labels)


class ProjectionCritic(nn.Module):
    """A critic of items of a class: l(x, y) = w phi(x) + b + <v_y, phi(x)>.

    The projection discriminator (Miyato and Koyama, 2018, arXiv 1802.05637, section 3): the log ratio of the
    conditional densities of classes is an inner product with a learned vector v_y of the class; that of the
    marginal densities, here a linear layer, does not depend on it.

    Args:
        body: x, and z for a critic of pairs -> features phi (N, features), built like a critic.
        features: number of features.
        classes: number of classes.
    """

    def __init__(self, body: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body = body
        self.linear = nn.Linear(features, 1)
        self.embedding = nn.Embedding(classes, features)
        nn.init.normal_(self.embedding.weight, 0, features**-0.5)  # of the scale of the linear layer

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logits (N, 1) of items x, possibly codes z (N, d), and labels (N,) int64, in this order."""
        *seen, labels = inputs
        phi = self.body(*seen)
        # Summed in the dtype of phi; under autocast a matrix product would be in bf16.
        projection = (self.embedding(labels) * phi).sum(1, keepdim=True)
        logits: Tensor = self.linear(phi).to(phi.dtype) + projection
        return logits


class ClassHead(nn.Linear):
    """A linear classifier of codes, (N, d) -> logits (N, classes), which starts at 0 and learns fast."""

    def __init__(self, code_dim: int, classes: int) -> None:
        super().__init__(code_dim, classes)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, z: Tensor) -> Tensor:
        return GAIN * super().forward(z)
