"""``parsimony predict``: apply a run's model to a file or to stdin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options


def command(
    run: Annotated[Path, typer.Argument(help="Run folder of 'parsimony adapt'.")],
    data: Annotated[
        str, typer.Argument(metavar="INPUT", help="CSV, TSV, JSONL, JSON or Parquet; - for stdin.")
    ] = "-",
    out: options.Out = None,
    batch: Annotated[int, typer.Option("--batch", help="Rows at a time.")] = 32,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Add a prediction, and its probability, to every row of INPUT.

    The answer has the format of the input (JSONL for JSON), on stdout or in --out.
    """
    from parsimony.adapt import prediction
    from parsimony.adapt.loading import load_run
    from parsimony.cli.main import emit
    from parsimony.core import artifacts
    from parsimony.core.console import Console
    from parsimony.core.data import read_rows
    from parsimony.core.errors import InputError

    console = Console(quiet)
    if batch < 1:
        raise InputError("--batch must be positive", got=batch)
    rows = read_rows(prediction.source_of(data))
    name = "stdin" if data == "-" else data
    found, notice = prediction.predict(load_run(run), rows, name, batch)
    if notice:
        console.say(notice)
    if json:
        emit(found.to_dict(orient="records"))
        return
    suffix = (out or Path(data)).suffix.lower()
    if suffix in (".jsonl", ".json"):
        text = found.to_json(orient="records", lines=True, force_ascii=False)
    elif suffix == ".parquet":
        if out is None:
            raise InputError("a Parquet input needs a file for the answer", hint="Give --out FILE")
        found.to_parquet(out, index=False)
        return
    else:
        text = found.to_csv(index=False, sep="\t" if suffix == ".tsv" else ",")
    if out is None:
        typer.echo(text, nl=False)
    else:
        artifacts.write_text(out, text)
        console.say(f"{len(found)} rows written to {out}")
