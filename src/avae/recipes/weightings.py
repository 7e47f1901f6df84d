"""The weight of L_Z as text: "balanced:0.3"."""

from avae.errors import UserError, did_you_mean


def parse_weighting(text: str) -> tuple[str, float]:
    """Split "balanced:0.3" into name and number (by default 1, posterior: 10); raise UserError if unknown."""
    name, _, number = text.partition(":")
    known = ("balanced", "annealed", "posterior", "equation", "softmax", "none")
    if name not in known or (name in ("softmax", "none") and number):
        raise UserError(
            f"--latent-weighting {text}: not known{did_you_mean(name, known)}; "
            "write balanced[:RHO], annealed[:RHO], posterior[:RHO], equation[:FACTOR], softmax or none"
        )
    try:
        value = float(number) if number else 10.0 if name == "posterior" else 1.0
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UserError(f"--latent-weighting {text}: {number} is not a positive number")
    return name, value
