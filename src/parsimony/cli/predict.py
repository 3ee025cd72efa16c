"""``parsimony predict``: apply a run's model to a file or to stdin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options


def command(
    run: Annotated[Path, typer.Argument(help="Run folder of 'parsimony adapt'.")],
    data: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="CSV, TSV, JSONL, JSON or Parquet; - for stdin; or a folder of sounds.",
        ),
    ] = "-",
    out: options.Out = None,
    batch: Annotated[int, typer.Option("--batch", help="Rows at a time.")] = 32,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Add a prediction, and its probability, to every row of INPUT.

    The answer, on stdout, has the format of the input (JSONL for JSON, CSV for a folder); a file
    has that of its extension.
    """
    from parsimony.adapt import prediction
    from parsimony.adapt.loading import load_run
    from parsimony.cli.main import emit
    from parsimony.core import artifacts
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError

    console = Console(quiet)
    if batch < 1:
        raise InputError("--batch must be positive", got=batch)
    suffix = _format(data, out)
    if suffix == ".parquet" and out is None and not json:
        raise InputError("a Parquet answer needs a file", hint="Give --out FILE")
    loaded = load_run(run)
    rows = prediction.rows_of(data, loaded)
    name = "standard input" if data == "-" else data
    found, notice = prediction.predict(loaded, rows, name, batch)
    if notice:
        console.say(notice)
    if json:
        emit(prediction.records(found))
        return
    answer = prediction.encode(found, suffix)
    if out is None:
        typer.echo(answer, nl=False)
    else:
        artifacts.write_bytes(out, answer)
        console.say(f"{len(found)} rows written to {out}")


def _format(data: str, out: Path | None) -> str:
    """The extension that tells the format of the answer."""
    import sys

    from parsimony.core.data.files import is_data_file, recognise
    from parsimony.core.errors import InputError

    if out is not None:
        if not is_data_file(out):
            raise InputError(
                "the format of --out is told by its extension", got=str(out),
                hint="Use .csv, .tsv, .jsonl or .parquet",
            )  # fmt: skip
        return out.suffix.lower()
    if data != "-":
        return Path(data).suffix.lower()
    return recognise(sys.stdin.buffer.peek(1))  # type: ignore[attr-defined]
