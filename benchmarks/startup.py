"""CPU seconds until each verb can begin, and of errors and help that need no model.

    python benchmarks/startup.py [--rounds 5]

Every command is a fresh process. Rounds go through all of them, so that each is measured beside
`python -c pass` and `import torch`; medians are printed. A run is trained first, in a temporary folder.
"""

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from avae.cli import VERBS

SMALLEST = ["--rounds", "1", "--only", "pass", "import torch", "train folder", "sample missing"]

AVAE = [sys.executable, "-P", "-m", "avae"]
MAKE_RUN = ["train", "digits", "--steps", "1", "--width", "2", "--out", "run"]
PYTHON = {
    "pass": "pass",
    "import torch": "import torch",
    "import torch, one Adam": "import torch; torch.optim.Adam([torch.zeros(1, requires_grad=True)])",
}
ERRORS = [
    "--help",
    "sampel",
    "train --help",
    "train digits --help",
    "train folder",
    "train folder --data missing",
    "train digits --bacth-size 3",
    "train digits --out run",
    "demo --out run",
    "evaluate --help",
    "evaluate missing",
    "sample missing",
    "sample run --out run",
    "prior missing",
    "reconstruct run missing.png",
    "encode run missing.png",
    "decode run missing.npz",
    "interpolate run missing.png missing.png",
    "figure 8 missing",
    "data info missing",
    "table1",
]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="names of rows")
    args = parser.parse_args(argv)
    commands = {name: [sys.executable, "-c", code] for name, code in PYTHON.items()}
    commands |= {line: [*AVAE, *line.split()] for line in ERRORS}
    # What `main` imports before the verb does its work.
    begin = "from avae.cli import main; import avae.cli.flags.{0}, avae.cli.{0}"
    commands |= {f"imports of {verb}": [sys.executable, "-c", begin.format(verb)] for verb in VERBS}
    commands["one step of training"] = [*AVAE, *MAKE_RUN, "--overwrite", "--prior", "standard"]
    commands["one sample"] = [*AVAE, *["sample", "run", "--count", "1", "--overwrite"]]
    commands = {name: commands[name] for name in args.only or commands}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*AVAE, *MAKE_RUN], cwd=folder, check=True, capture_output=True)
        for _ in range(args.rounds):
            for name, command in commands.items():
                seconds[name].append(cpu_seconds(command, Path(folder)))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, ", end="")
    print(f"torch {version('torch')}; medians of {args.rounds}\n")
    print("| command | CPU seconds | beyond `import torch` |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.2f} | {median - medians['import torch']:+.2f} |")


def cpu_seconds(command: Sequence[str], folder: Path) -> float:
    """Return the CPU seconds, of user and system, of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
