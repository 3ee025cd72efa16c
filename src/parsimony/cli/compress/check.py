"""``parsimony compress check FOLDER``: does a compressed checkpoint hold what its config says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options


def command(
    folder: Annotated[Path, typer.Argument(help="A compressed-tensors checkpoint.")],
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check shapes, types and settings of a checkpoint without loading its weights."""
    from parsimony.cli.main import emit
    from parsimony.compress.export.check import check_export
    from parsimony.core import units

    found = check_export(folder)
    if json:
        emit({"folder": str(folder), **asdict(found)})
        return
    bits = ", ".join(f"{layers} in {width} bits" for width, layers in sorted(found.bits.items()))
    print(
        f"{folder} is sound: {found.layers} layers in codes ({bits}), {found.dense} tensors as "
        f"they are, {units.format_bytes(found.bytes)}"
    )
