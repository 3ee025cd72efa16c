"""Round to nearest: the baseline of all others."""

from __future__ import annotations

from torch import Tensor

from parsimony.compress.grid import Codes
from parsimony.compress.quantizer import Call, Rounding


class RTN(Rounding):
    """Every weight goes to the nearest point of its grid; no data."""

    name = "rtn"

    def round(self, weight: Tensor, call: Call) -> tuple[Codes, str]:
        return call.grid.codes(weight, call.dtype, clip=call.clip, name=call.name), ""
