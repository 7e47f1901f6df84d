"""The representation of an existing run: its encoder and decoder, as they are."""

from avae.frameworks.representations.representation import Representation


class RunRepresentation(Representation):
    """A trained encoder, frozen, whose stored codes stay valid to the bit.

    Its decoder is the one trained with it, frozen too; or a new one, which learns; or none.
    """
