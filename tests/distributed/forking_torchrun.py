"""torchrun, whose processes are forked instead of started: what they import is imported once.

Give it torchrun's arguments with `--no-python PYTHON -c SCRIPT ...`. All else is torchrun's: rendezvous,
environment, watching, signals, restarts.
"""

import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import torch._dynamo  # which optimizers import when the first is made
from torch.distributed import run
from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

import avae.training.train  # noqa: F401 - for the processes


class ForkedProcess(subprocess.Popen):
    """A copy of this process that runs a script, in place of `python -c SCRIPT ...`."""

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *more) -> None:
        _, _, script, *arguments = args
        self.pid = os.fork()
        if self.pid == 0:
            _run(script, arguments, env)
        self._child_created = True


def _run(script: str, arguments: list[str], environment: dict[str, str]) -> NoReturn:
    """Run a script as a new process would, and end this process."""
    os.setsid()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the launcher's connections end with the launcher
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    Path("/proc/self/comm").write_text(f"rank {environment['RANK']}")
    sys.argv = ["-c", *arguments]
    code = 0
    try:
        exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    subprocess_handler.Popen = ForkedProcess
    run.main()
