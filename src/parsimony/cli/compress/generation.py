"""``parsimony compress generation``: how quantization changes what a model writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.tables import table

if TYPE_CHECKING:
    from parsimony.compress.generation_study.design import Request
    from parsimony.core.console import Console


def command(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="Built-in name, folder, or hub name 'owner/name'.")
    ] = "stdlib-lm",
    data: Annotated[
        str, typer.Option("--data", help="Texts to write on from: table or built-in.")
    ] = "stdlib-code",
    text: Annotated[
        str | None, typer.Option("--text", help="Their column.", show_default=False)
    ] = None,
    methods: Annotated[
        str, typer.Option("--methods", help="Ways to quantize, with commas between.")
    ] = "int8,nf4,nf4-dq,fp4,fp4-dq,int4,random4",
    temperatures: Annotated[
        str, typer.Option("--temperatures", help="With commas between; 0 is greedy.")
    ] = "0,0.2,0.5,0.8,1",
    top_k: Annotated[
        str, typer.Option("--top-k", help="Tokens to draw from, with commas; all for no limit.")
    ] = "50,all",
    lengths: Annotated[
        str, typer.Option("--max-new-tokens", help="Of a text, with commas between.")
    ] = "64",
    seeds: Annotated[int, typer.Option("--seeds", help="Texts of a prompt and setting.")] = 3,
    prompts: Annotated[int, typer.Option("--prompts", help="Texts that are gone on with.")] = 32,
    prompt: Annotated[
        int | None,
        typer.Option("--prompt-tokens", help="Of each; at most 64 by default.", show_default=False),
    ] = None,
    windows: Annotated[
        int, typer.Option("--windows", help="Of held-out text that predictions are compared on.")
    ] = 128,
    between: Annotated[
        str, typer.Option("--between", help="Temperatures that resilience is told of.")
    ] = "0.5,0.8",
    untimed: Annotated[bool, typer.Option("--untimed", help="Do not measure speed.")] = False,
    batch: Annotated[int, typer.Option("--batch", help="Texts at a time.")] = 32,
    device: options.Device = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--beside",
            help="Folder of a finished study to show in the same table.",
            show_default=False,
        ),
    ] = None,
    resume: options.Resume = None,
    out: options.Out = None,
    seed: options.Seed = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Let MODEL and its quantized forms write from the same prompts, and say where they differ."""
    from parsimony.cli.main import emit
    from parsimony.compress.generation_study.analysis import together
    from parsimony.compress.generation_study.design import Request
    from parsimony.core.console import Console
    from parsimony.core.run import Run, new_folder

    console = Console(quiet)
    if resume is not None:
        options.refuse_changes(context)
    low, high = _numbers("--between", between, 2)
    request = Request(
        model=model, data=data, text=text,
        methods=tuple(_words(methods)),
        temperatures=_numbers("--temperatures", temperatures),
        top_k=tuple(None if w == "all" else _whole("--top-k", w) for w in _words(top_k)),
        lengths=tuple(_whole("--max-new-tokens", word) for word in _words(lengths)),
        seeds=seeds, prompts=prompts, prompt=prompt, windows=windows, between=(low, high),
        timed=not untimed, batch=batch, device=device, seed=seed,
    )  # fmt: skip
    if dry_run:
        _preview(request, console, json)
        return
    others = [Run.open(each, complete=True).read("result.json") for each in beside or ()]
    folder = resume or out or new_folder(Path("runs"), f"{Path(model).name}-generation")
    result = _run(request, folder, resume is not None, console, others)
    together([result, *others])
    if json:
        emit({"run": str(folder), **result, **({"beside": others} if others else {})})
    else:
        _show(folder, [result, *others])


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(option: str, text: str, count: int | None = None) -> tuple[float, ...]:
    from parsimony.core.errors import InputError

    try:
        found = tuple(float(word) for word in _words(text))
    except ValueError:
        found = ()
    if not found or (count is not None and len(found) != count):
        raise InputError(f"{option} takes {count or ''} numbers with commas between", got=text)
    return found


def _whole(option: str, word: str) -> int:
    from parsimony.core.errors import InputError

    try:
        return int(word)
    except ValueError:
        raise InputError(f"{option} takes whole numbers with commas between", got=word) from None


def _run(
    request: Request, folder: Path, resume: bool, console: Console, others: list[dict[str, Any]]
) -> dict[str, Any]:
    from parsimony import report
    from parsimony.cli.main import resumable
    from parsimony.compress.generation_study import study
    from parsimony.core.run import Run

    with resumable(folder, study.resume_command(folder)):
        done = study.resume(folder, console) if resume else None
        result = done or study.study(request, folder, console, others)
        run = Run(folder)
        if not run.complete:
            report.write(folder)
            run.finish()
    return result


def _preview(request: Request, console: Console, json: bool) -> None:
    from parsimony.cli.main import emit
    from parsimony.compress.generation_study import study
    from parsimony.core import units

    found = study.preview(request, console)
    if json:
        emit(found)
        return
    print(f"{found['model']}: {found['cells']} ways to write, {found['texts']} texts")
    for method, roles in found["bytes"].items():
        print(f"{method}: {units.format_bytes(sum(roles.values())) if roles else 'not counted'}")
    for note in found["notes"]:
        print(f"Note: {note}")


def _show(folder: Path, results: list[dict[str, Any]]) -> None:
    from parsimony.compress.generation_study.page import differs, top_k_name

    several = len(results) > 1
    rows = [
        [*([result["model"]["name"]] if several else []), *_row(method)]
        for result in results
        for method in result["methods"]
    ]
    columns = ["method", "stored", "loss change", "verdict", "same token", "KL, T low", "T high",
               "texts differ", "tokens/s"]  # fmt: skip
    first = results[0]
    table(
        [*(["model"] if several else []), *columns],
        rows,
        title=f"Against {first['reference']}, 95 % intervals over prompts; KL at the lowest and "
        "the highest temperature above 0; tokens per second at batch 1",
        numbers=[n + several for n in (1, 2, 4, 5, 6, 8)],
    )
    for method in first["methods"][1:]:
        for sample in method["samples"]:
            if said := differs(sample):
                print(
                    f"{method['method']} at temperature {sample['temperature']:g}, "
                    f"{top_k_name(sample['top_k'])}, {sample['tokens']} tokens: {said}"
                )
        for each in method["resilience"]:
            low, high = first["between"]
            print(
                f"{method['method']} between {low:g} and {high:g}, {top_k_name(each['top_k'])}: "
                f"resilience {each['value']:.2f}"
            )
    for note in first["notes"]:
        print(f"Note: {note}")
    print(f"Report: {folder / 'report.html'}")


def _row(method: dict[str, Any]) -> list[str]:
    from parsimony.compress.generation_study.page import differs
    from parsimony.core import units

    size = units.format_bytes(sum(method["bytes"].values())) if method["bytes"] else ""
    speed = f"{method['paces'][0]['rate']:.0f}" if method["paces"] else ""
    if (gap := method.get("difference")) is None:
        return [method["method"], size, "", "", "", "", "", "", speed]
    change = f"{gap['estimate']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})"
    everywhere = [each for each in method["divergence"] if each["top_k"] is None]
    distances = sorted(everywhere or method["divergence"], key=lambda each: each["temperature"])
    ends = [f"{e['kl']['estimate']:.2g}" for e in (*distances[:1], *distances[-1:])] or ["", ""]
    called = sum(bool(differs(sample)) for sample in method["samples"])
    return [method["method"], size, change, gap["verdict"],
            units.format_share(method["agreement"]["estimate"]), *ends,
            f"{called} of {len(method['samples'])}", speed]  # fmt: skip
