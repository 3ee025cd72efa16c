"""Architectures that spend parameters well; importing this registers them with transformers."""

from parsimony.core.errors import require
from parsimony.core.registry import modules

require("transformers", "models")
require("torch", "models")
modules(__name__)
