"""Write constraints.txt from the environment that runs this script.

Run it as ``.venv/bin/python tools/freeze.py`` after changing a dependency and installing it.
"""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

TARGET = Path(__file__).resolve().parents[1] / "constraints.txt"
LEFT_OUT = {"parsimony-ml", "pip", "wheel"}
HEADER = """\
# The exact versions parsimony is tested with. `make` installs with them; so can you:
#   pip install -c constraints.txt -e '.[all]'
# Refresh: install what you need into .venv, run .venv/bin/python tools/freeze.py, run make test.
"""


def pins() -> list[str]:
    """One ``name==version`` per installed distribution, without local suffixes such as ``+cpu``."""
    found = {canonicalize_name(d.metadata["Name"]): d.version for d in distributions()}
    return [f"{n}=={Version(v).public}" for n, v in sorted(found.items()) if n not in LEFT_OUT]


if __name__ == "__main__":
    TARGET.write_text(HEADER + "\n".join(pins()) + "\n", encoding="utf-8")
