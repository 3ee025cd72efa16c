"""Data for every area: ``load`` gives checked, split, fingerprinted ``TaskData``."""

from parsimony.core.data import _extras  # noqa: F401
from parsimony.core.data.builtins import builtin_names
from parsimony.core.data.files import read_rows
from parsimony.core.data.loading import load
from parsimony.core.data.taskdata import TASKS, Task, TaskData
from parsimony.core.data.windows import Truncation, truncation

__all__ = [
    "TASKS",
    "Task",
    "TaskData",
    "Truncation",
    "builtin_names",
    "load",
    "read_rows",
    "truncation",
]
