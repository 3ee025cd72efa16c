"""Every test runs offline, on one thread, in a home of its own, with repeatable random cases."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings

_HOME = "PARSIMONY_TEST_HOME"

# Before any test module is imported: libraries read these once, when they are loaded. Workers of a
# parallel run inherit the first process's home, which that process removes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if _HOME not in os.environ:
    os.environ[_HOME] = tempfile.mkdtemp(prefix="parsimony-tests-")
    atexit.register(shutil.rmtree, os.environ[_HOME], True)
os.environ["HOME"] = os.environ[_HOME]
os.environ["HF_HOME"] = f"{os.environ[_HOME]}/huggingface"
# Published tables that are not part of the project; tests that read one skip where it is not there.
os.environ.setdefault("PARSIMONY_DATA", str(Path(__file__).parents[2] / "shared/data"))
for _variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
    os.environ.pop(_variable, None)

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
