"""Entry point of `python -m avae`, and so of `torchrun ... -m avae`."""

from avae.cli import main

main()
