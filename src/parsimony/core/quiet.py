"""Keep libraries' notes to their own developers off the user's terminal."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr


@contextmanager
def unseen() -> Iterator[None]:
    """Drop what a library writes to stderr, such as bars that it offers no way to switch off."""
    with redirect_stderr(io.StringIO()):
        yield


def hush() -> None:
    """Silence them in this process and, as far as the environment reaches, in its children."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read when torch is imported
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported
    # On some processors it advises, at import, to install a faster kernel.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
