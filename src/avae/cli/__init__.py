"""The command line, `avae VERB ...`: parses flags, calls the library and prints results.

Each verb is two files. `flags/VERB.py` has a dataclass, whose docstrings are its help, and `read(arguments)`,
which parses and checks flags without PyTorch. VERB.py has `run(options)`, which returns the exit code.
`VERBS` lists the verbs and `main` imports the requested one. `parsing.parse` turns flags into the dataclass;
`options` has the flags that verbs share; `io` reads and writes images and points. Messages and progress go to
stderr, results to stdout (`avae.console`). Open `flags/sample.py` and `sample.py` first, the shortest verb.
"""

import errno
import sys
from importlib import import_module
from importlib.metadata import version

from avae.console import lasting_output, messages_on_stderr
from avae.errors import UserError, did_you_mean, is_out_of_memory
from avae.interrupt import INTERRUPTED, MESSAGE, ImportsEndAtInterrupt
from avae.shown_text import printable

VERBS = {
    "demo": "train on bundled emoji and write a report, in minutes",
    "train": "train a recipe: on your pictures (folder), or on a data set of the paper",
    "evaluate": "measure a run on its test pictures",
    "sample": "draw new pictures",
    "prior": "fit a prior to the codes of training pictures, to draw new ones from",
    "reconstruct": "encode pictures and draw them again",
    "calibrate": "turn the map of what is invented into intervals that hold",
    "anomaly": "find strange pictures, with a promised rate of false alarms",
    "encode": "turn pictures into codes (.npz)",
    "decode": "turn codes into pictures",
    "interpolate": "draw the path from one picture to another",
    "explore": "open a page to play with a model: your pictures, directions, paths, samples",
    "export": "export the networks to ONNX",
    "card": "write a model card, README.md",
    "push": "upload a model to the model hub",
    "figure": "draw a figure of the paper, or rFID against MSE",
    "data": "pack a data set, or describe one",
    "table1": "rebuild the paper's table: train and measure its models, on one machine or many",
}

USAGE_ERROR = 2


def main() -> None:
    """Run the command line; print one line and exit with code 2 on any error that the user can fix."""
    with lasting_output():
        sys.exit(_exit_code(sys.argv[1:]))


def _exit_code(arguments: list[str]) -> int:
    try:
        return _dispatch(arguments)
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print(MESSAGE, file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        return _fail(_os_error_message(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _fail(
            "out of memory: choose --precision bf16, a smaller --batch-size, --width or --size, or fewer "
            "pictures; for networks without batch norm, as stylegan2, also more --micro-batches"
        )


def _dispatch(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else "--help"
    if verb in ("-h", "--help"):
        print(_help())
        return 0
    if verb == "--version":
        print(f"avae {version('avae')}")
        return 0
    if verb not in VERBS:
        raise UserError(f"no verb '{verb}'{did_you_mean(verb, VERBS)}; see avae --help")
    with messages_on_stderr():
        with ImportsEndAtInterrupt():
            flags = import_module(f"avae.cli.flags.{verb}")
        options = flags.read(arguments[1:])
        with ImportsEndAtInterrupt():  # after all that needs no PyTorch: importing it takes seconds
            module = import_module(f"avae.cli.{verb}")
        code: int = module.run(options)
    return code


def _help() -> str:
    lines = [
        "avae: auto-encoders whose reconstructions look real",
        "",
        "usage: avae VERB ...",
        "",
        *(f"  {verb:<12} {what}" for verb, what in VERBS.items()),
        "",
        "examples:",
        "  avae demo",
        "  avae train folder --data photos/ --size 64 --out runs/photos",
        "  avae reconstruct runs/photos some/pictures --out reconstructions",
        "",
        "avae VERB --help describes a verb and lists its flags.",
    ]
    return "\n".join(lines)


def _os_error_message(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"no space left on the disk{where}: free some and try again (--resume continues a run)"
    return f"{error.strerror or error}{where}: check the path and its permissions"


def _fail(message: str) -> int:
    print(f"avae: {printable(message)}", file=sys.stderr)
    return USAGE_ERROR
