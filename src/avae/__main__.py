"""Entry point of `avae` and of `python -m avae`, and so of `torchrun ... -m avae`."""

from avae.interrupt import ImportsEndAtInterrupt


def main() -> None:
    """Run the command line."""
    with ImportsEndAtInterrupt():
        from avae.cli import main as run
    run()


if __name__ == "__main__":
    main()
