"""One engine for every parametric law: robust loss, many starts, a bootstrap over runs, intervals.

A law declares its formula with the gradient (``law``); ``engine.fit`` does the rest.
"""

from parsimony.core.fitting.engine import fit
from parsimony.core.fitting.law import Law, PowerSum
from parsimony.core.fitting.provenance import Provenance
from parsimony.core.fitting.result import Fit
from parsimony.core.fitting.solver import Loss

__all__ = ["Fit", "Law", "Loss", "PowerSum", "Provenance", "fit"]
