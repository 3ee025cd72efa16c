"""Imported first by the server that workers are forked from: it loads libraries before any job."""

from parsimony.core.quiet import hush

hush()
