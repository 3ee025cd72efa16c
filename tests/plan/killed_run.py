"""The worker of a run whose second process is killed in step 4: ``-m killed_run FOLDER``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from parsimony.plan.running import worker

plain = worker.tokens.batch


def batch(folder: Path, plan: Any, seed: int, step: int) -> Any:
    if step == 4 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(folder, plan, seed, step)


if __name__ == "__main__":
    worker.tokens.batch = batch
    worker.main(Path(sys.argv[1]))
