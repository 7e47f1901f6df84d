"""Processes that are forked instead of started: each new one would take seconds to import PyTorch."""

import inspect
import logging
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch._dynamo  # noqa: F401 - which optimizers import when the first is made

import avae.training.train  # noqa: F401 - for the processes

_EXECUTE = inspect.signature(subprocess.Popen._execute_child)


class ForkedProcess(subprocess.Popen):
    """In place of `avae ...`, `python -m avae ...` and `python -c ...`, a copy of this process that runs it.

    All else is Popen's: streams, environment, session, signals. Other commands are started as ever.
    """

    def _execute_child(self, *given: Any) -> None:
        asked = _EXECUTE.bind(self, *given).arguments
        program = _program([os.fspath(word) for word in asked["args"]])
        if program is None:
            super()._execute_child(*given)
            return
        self.pid = os.fork()
        if self.pid == 0:
            _become(program, asked)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[end] for end in ends))


def _program(words: list[str]) -> Callable[[], object] | None:
    """Return what a command runs, once it is called; None if that is no Python."""
    match words:
        case [program, *arguments] if Path(program).name == "avae":
            return partial(_module, arguments)
        case [sys.executable, "-m", "avae", *arguments] | [sys.executable, "-P", "-m", "avae", *arguments]:
            return partial(_module, arguments)
        case [sys.executable, "-c", text, *arguments]:
            return partial(_script, text, arguments)
    return None


def _module(arguments: list[str]) -> None:
    sys.argv = ["avae", *arguments]
    runpy.run_module("avae", run_name="__main__", alter_sys=True)


def _script(text: str, arguments: list[str]) -> None:
    sys.argv = ["-c", *arguments]
    exec(compile(text, "<script>", "exec"), {"__name__": "__main__"})


def _become(program: Callable[[], object], asked: Mapping[str, Any]) -> NoReturn:
    """Run a program as a new process would, and end this one."""
    if asked["start_new_session"]:
        os.setsid()
    for stream, end in enumerate(("p2cread", "c2pwrite", "errwrite")):
        if asked[end] != -1:
            os.dup2(asked[end], stream)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # a connection of the parent's ends with the parent
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(i, "rw"[i > 0], closefd=False) for i in range(3))
    logging.getLogger().handlers.clear()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(asked["env"] or {})
    os.chdir(asked["cwd"] or ".")
    if "RANK" in os.environ:  # for who looks for this process; /proc has its parent's environment
        Path("/proc/self/comm").write_text(f"rank {os.environ['RANK']}")
    code: Any = 0
    try:
        program()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
