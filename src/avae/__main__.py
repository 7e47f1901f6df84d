"""`python -m avae`, and so `torchrun ... -m avae`."""

from avae.cli import main

main()
