"""Imported first by this package, so that a missing pandas names the extra that brings it."""

from parsimony.core.errors import require

require("pandas", "adapt")
require("sklearn", "adapt")
