"""torchrun, whose processes are forked (`tests/forked.py`).

All else is torchrun's: rendezvous, environment, watching, signals, restarts.
"""

import sys
from pathlib import Path

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

sys.path.append(str(Path(__file__).parents[1]))
from forked import ForkedProcess

if __name__ == "__main__":
    subprocess_handler.Popen = ForkedProcess
    run.main()
