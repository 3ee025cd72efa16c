"""``parsimony adapt``: one line per fault, its exit code, and nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_runs
import pytest

from parsimony import report
from parsimony.adapt import solve, workflow
from parsimony.adapt.method import methods
from parsimony.cli import main
from parsimony.core import artifacts
from parsimony.core.budget import Budget
from parsimony.core.data import builtin_names
from parsimony.core.data.taskdata import TASKS
from parsimony.testing import tiny

Call = Callable[..., tuple[int, str, str]]
KNOWN = f"Known: {', '.join(sorted(methods()))}"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("cli") / "model")


@pytest.fixture
def call(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """Run ``parsimony adapt`` in an empty folder that holds the model; timed steps are made up."""
    (tmp_path / "model").symlink_to(model)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(solve, "calibrate", lambda *_: made_runs.SPEED)

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["adapt", *map(str, arguments)])
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    return run


def write(content: str | bytes, name: str = "t.csv") -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def good(rows: int = 30) -> str:
    """A table that trains: the columns are ``note`` and ``kind``."""
    texts = made_runs.texts(rows)
    lines = [f'"{text}",{made_runs.KINDS[i % 3]}' for i, text in enumerate(texts)]
    return write("\n".join(["note,kind", *lines]))


def splits(train: str, test: str) -> str:
    write(train, "d/train.csv")
    write(test, "d/test.csv")
    return "d"


PLENTY = "note,kind\n" + "".join(f"text {i},{'xy'[i % 2]}\n" for i in range(12))

# What is wrong: (data, made when asked for; further arguments; the whole line).
BAD_DATA: dict[str, tuple[Callable[[], str], list[str], str]] = {
    "a missing file": (
        lambda: good().replace("t.csv", "u.csv"), [],
        "u.csv: there is no such file or data set. Did you mean 't.csv'? Known: "
        f"{', '.join(sorted([*builtin_names(), 't.csv']))}",
    ),
    "an unknown extension": (
        lambda: write("a,b\n1,2\n", "t.xlsx"), [],
        "t.xlsx: the format of a data file is told by its extension, but got '.xlsx'. Known: .csv, "
        ".tsv, .jsonl, .ndjson, .json, .parquet",
    ),
    "an empty file": (
        lambda: write(""), [],
        "t.csv: a data set needs at least one row. The file is empty",
    ),
    "a header only": (
        lambda: write("note,kind\n"), [],
        "t.csv: a data set needs at least one row. The table is empty",
    ),
    "no such text column": (
        good, ["--text", "notes"],
        "t.csv: there is no column 'notes'. Did you mean 'note'? Known: kind, note",
    ),
    "no such label column": (
        good, ["--label", "xyz"],
        "t.csv: there is no column 'xyz'. Known: kind, note",
    ),
    "one class": (
        lambda: write("note,kind\na,x\nb,x\nc,x\n"), ["--label", "kind"],
        "t.csv, column 'kind': classification needs at least two classes, but got ['x']. Pass "
        "--label with another column",
    ),
    "a label never seen in training": (
        lambda: splits(PLENTY, "note,kind\nnew,x\nnewer,z\n"), ["--label", "kind"],
        "d/test.csv, row 2, column 'kind': the label 'z' of the test split is never seen in "
        "training. Known: x, y",
    ),
    "an empty label": (
        lambda: write("note,kind\na,x\nb,\nc,y\n"), ["--label", "kind"],
        "t.csv, row 2, column 'kind': a label must not be missing; this row has none. Fill the "
        "cells or remove the rows",
    ),
    "a label that is not a number": (
        lambda: write('{"note": "a", "kind": 1.5}\n{"note": "b", "kind": NaN}\n', "t.jsonl"),
        ["--label", "kind", "--task", "regression"],
        "t.jsonl, row 2, column 'kind': a regression target must be a finite number, but got nan. "
        "Repair or remove the row, or pass --task text-classification",
    ),
    "bytes that are not UTF-8": (
        lambda: write(b"note,kind\na,x\nb\xff,y\n"), [],
        "t.csv, row 2: text must be UTF-8, but byte 15 is 0xff. Save the file as UTF-8",
    ),
    "a malformed row of JSON": (
        lambda: write('{"note": "a", "kind": "x"}\n{"note": "b" "kind"}\n', "t.jsonl"), [],
        "t.jsonl, row 2: malformed JSON at character 14 (Expecting ',' delimiter)",
    ),
    "a ragged row": (
        lambda: write("note,kind\na,x\nb,y,z\n"), [],
        "t.csv, row 2: a row needs 2 cells like the header, but has 3. Quote cells that contain "
        "the delimiter",
    ),
    "pixels": (
        lambda: "digits", [],
        "adapt trains on text and sounds, but got 'digits is tabular-classification'. Use it from "
        "Python: parsimony.core.data.load",
    ),
}  # fmt: skip

# Arguments that a good table cannot save.
BAD_ARGUMENTS: dict[str, tuple[list[str], str]] = {
    "an unknown method": (
        ["--methods", "lora,lorra"],
        f"unknown method, but got 'lorra'. Did you mean 'lora'? {KNOWN}",
    ),
    "an unknown task": (
        ["--task", "text-classificatoin"],
        "unknown task 'text-classificatoin'. Did you mean 'text-classification'? Known: "
        f"{', '.join(sorted(TASKS))}",
    ),
    "an unknown budget key": (
        ["--budget", "memry=8GiB"],
        "unknown budget key 'memry', but got 'memry=8GiB'. Did you mean 'memory'? Known: energy, "
        "latency, memory, size, time, trainable",
    ),
    "a bad unit": (
        ["--budget", "memory=8GIG"],
        "a quantity in bytes needs a number and a unit, but got '8GIG'. Units: B, kB, MB, GB, TB, "
        "KiB, MiB, GiB, TiB",
    ),
    "a limit it cannot keep": (
        ["--budget", "size=25%"],
        "adapt cannot keep a limit on 'size', but got 'size=25%'. Use trainable=, memory= and "
        "time=",
    ),
    "two seeds": (
        ["--seeds", "2"],
        "an interval over seeds needs at least three of them, but got 2. Use --seeds 3 or more",
    ),
    "no epochs": (["--epochs", "0"], "--epochs must be a positive number, but got 0.0"),
    "epochs that are no number": (
        ["--epochs", "nan"], "--epochs must be a positive number, but got nan"
    ),
    "endless epochs": (["--epochs", "inf"], "--epochs must be a positive number, but got inf"),
    "a negative seed": (
        ["--seed", "-1"], "--seed must be a whole number from 0 to 2147483647, but got -1"
    ),
    "a window beyond the model": (
        ["--window", "65"], "--window must be 3 to 64 tokens for this model, but got 65"
    ),
    "a window without room for text": (
        ["--window", "2"], "--window must be 3 to 64 tokens for this model, but got 2"
    ),
    "an unknown device": (["--device", "tpu"], "--device is cpu or cuda, but got 'tpu'"),
    "an unknown engine": (
        ["--engine", "rey"],
        "unknown engine, but got 'rey'. Did you mean 'ray'? Known: local, ray",
    ),
    "an address without Ray": (
        ["--address", "auto"], "--address goes with --engine ray, but got 'auto'"
    ),
    "a limit without room for the classes": (
        ["--limit", "4"],
        "a limit needs room for 9 rows of the data, so that every class is in every split, but got "
        "4. Raise --limit",
    ),
    "a task the model cannot do": (
        ["--task", "causal-lm", "--text", "note"],
        "causal-lm needs a model that reads from left to right, which 'bert' does not, but got "
        "'model'. Choose a decoder such as GPT-2, or another --task",
    ),
}  # fmt: skip


def nothing_left(before: set[Path]) -> bool:
    return {p for p in Path().iterdir() if p.name != "runs"} == before and not list(
        Path().glob("runs/*")
    )


@pytest.mark.parametrize("what", BAD_DATA)
def test_bad_data_is_located_in_one_line(what: str, call: Call) -> None:
    make, extra, line = BAD_DATA[what]
    data = make()
    before = set(Path().iterdir())
    code, out, err = call("model", data, "--quiet", *extra)
    assert (code, out, err) == (2, "", f"parsimony: {line}\n")
    assert nothing_left(before)


@pytest.mark.parametrize("what", BAD_ARGUMENTS)
def test_bad_arguments_get_one_line(what: str, call: Call) -> None:
    extra, line = BAD_ARGUMENTS[what]
    data = good()
    before = set(Path().iterdir())
    code, out, err = call("model", data, "--quiet", *extra)
    assert (code, out, err) == (2, "", f"parsimony: {line}\n")
    assert nothing_left(before)


def test_bad_models_get_one_line(call: Call) -> None:
    data = good()
    Path("pickled").mkdir()
    write("{}", "pickled/config.json")
    write(b"", "pickled/pytorch_model.bin")
    Path("bare").mkdir()
    for name, line in {
        "minilmm": "a model is a built-in name, a folder, or a hub name 'owner/name', but got "
        "'minilmm'. Did you mean 'minilm'? Known: minilm, stdlib-lm",
        "bare": "a model folder needs a config.json, but got 'bare'",
        "pickled": "weights must be safetensors; pickled weights are never loaded, but got "
        "'pickled'. Convert the checkpoint with save_pretrained(safe_serialization=True)",
    }.items():
        assert call(name, data, "--quiet") == (2, "", f"parsimony: {line}\n")


# --- folders ---


def test_a_used_folder_is_never_written_to(call: Call) -> None:
    write("mine", "used/notes.txt")
    code, out, err = call("model", good(), "--out", "used", "--quiet")
    assert (code, out) == (2, "")
    assert err == (
        "parsimony: a new run needs an empty folder, but got 'used'. Choose another --out, or "
        "continue it with --resume used\n"
    )
    assert [p.name for p in Path("used").iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_made(call: Call) -> None:
    write("a file", "taken")
    assert call("model", good(), "--out", "taken/run", "--quiet") == (
        2, "",
        "parsimony: the run folder must be writable (Not a directory), but got 'taken/run'. "
        "Choose another --out\n",
    )  # fmt: skip


def test_resume_needs_a_run(call: Call) -> None:
    Path("empty").mkdir()
    for name in ("empty", "nowhere"):
        assert call("--resume", name, "--quiet") == (
            2, "",
            f"parsimony: a run folder needs a config.json, but got '{name}'. Check the path, or "
            "start a new run in another folder\n",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (["--seeds", "5"], "--seeds"),
        (["--dry-run"], "--dry-run"),
        (["--out", "x"], "--out"),
        (["minilm"], "model"),
    ],
)
def test_resume_changes_no_setting(extra: list[str], named: str, call: Call) -> None:
    assert call(*extra, "--resume", "run") == (
        2, "",
        f"parsimony: --resume goes on with the settings of the run, but got '{named}'. Leave out "
        "all others but --json and --quiet\n",
    )  # fmt: skip


def test_resume_of_a_complete_run_reads_it(call: Call, tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"bias": 0, "linear-probe": 0}, model=tmp_path / "model")
    before = artifacts.hash_folder(made.folder)
    code, out, err = call("--resume", made.folder, "--json")
    assert code == 0
    assert err == f"{made.folder} is complete; nothing to do\n"
    assert json.loads(out) == {"run": str(made.folder), **made.result}
    assert artifacts.hash_folder(made.folder) == before


# --- budgets ---


@pytest.mark.parametrize(
    "budget",
    [
        "trainable=0.0001%",
        "memory=1kB",
        "trainable=0.0001%, memory=1kB",
        "time=1s",
        "trainable=5%, time=1s",
        "trainable=0.0001%, memory=1kB, time=1s",
    ],
)
def test_what_nothing_fits_names_a_budget_that_does(budget: str, call: Call) -> None:
    arguments = ["model", good(), "--quiet", "--methods", "lora,linear-probe", "--dry-run"]
    given = budget
    for _ in range(2):  # where time is short too, the second answer is about time
        code, out, err = call(*arguments, "--budget", budget)
        if code == 0:
            break
        assert (code, out) == (3, "")
        assert len(err.splitlines()) == 1
        lead, _, rest = err.partition('The nearest budget that can be met: "')
        reason = "no method fits the budget, but got" if "time" not in given else "parsimony: "
        assert reason in lead
        budget = rest.removesuffix('"\n')
        asked, found = Budget.parse(given), Budget.parse(budget)
        for key in ("trainable", "memory", "time"):
            limit = getattr(asked, key)
            assert (getattr(found, key) is None) == (limit is None)
            assert limit is None or getattr(found, key) >= limit
    code, _, err = call(*arguments, "--budget", budget)
    assert (code, err) == (0, "")


def test_the_nearest_share_of_full_training_is_all_of_it(call: Call) -> None:
    arguments = ["model", good(), "--quiet", "--methods", "full", "--dry-run"]
    code, _, err = call(*arguments, "--budget", "trainable=50%")
    assert code == 3
    assert err == (
        "parsimony: no method fits the budget, but got 'trainable=50%'. The nearest budget that "
        'can be met: "trainable=100%"\n'
    )
    assert call(*arguments, "--budget", "trainable=100%")[0] == 0


# --- what it says when all is well ---


def test_a_dry_run_leaves_nothing_and_says_what_fits(call: Call) -> None:
    data = good()
    before = set(Path().iterdir())
    arguments = ["model", data, "--methods", "lora,linear-probe,full", "--budget", "trainable=5%"]
    code, out, err = call(*arguments, "--dry-run", "--out", "run")
    assert code == 0
    assert nothing_left(before)
    lines = out.splitlines()
    assert lines[0].startswith("What fits, with its predicted cost")
    assert any("lora r=" in line for line in lines)
    assert "Dropped full: needs at least 100% of the parameters, more than trainable=5%" in lines
    assert lines[-1].startswith("4 configurations, 4 steps, 5 seeds: predicted ")
    assert err.splitlines()[0] == "Reading model and data"
    code, out, err = call(*arguments, "--dry-run", "--json", "--quiet")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["dropped"][0]["method"] == "full"
    assert {c["candidate"].split()[0] for c in found["candidates"]} == {"lora", "linear-probe"}
    assert nothing_left(before)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replace the work itself by a run made up in the folder that was asked for."""

    def use(task: str) -> None:
        def adapt(request: workflow.Request, folder: Path, console: Any) -> dict[str, Any]:
            language = task == "causal-lm"
            model = tiny.write(folder.parent / "base", "gpt2") if language else None
            methods = {"lora": 2} if language else {"bias": 0}
            made = made_runs.make(folder.parent, methods, task=task, model=model, complete=False)
            assert made.folder == folder
            return made.result

        monkeypatch.setattr(workflow, "adapt", adapt)
        monkeypatch.setattr(report, "write", lambda folder: folder / "report.html")

    return use


def test_json_is_all_there_is_on_stdout(call: Call, quick: Callable[[str], None]) -> None:
    quick("text-classification")
    code, out, err = call("model", "stdlib-docs", "--out", "home dir/run", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found.pop("run") == "home dir/run"
    assert found == artifacts.read_json(Path("home dir/run/result.json"))
    artifacts.verify(Path("home dir/run"))


def test_the_result_in_words(call: Call, quick: Callable[[str], None]) -> None:
    quick("text-classification")
    code, out, _ = call("model", "stdlib-docs", "--out", "home dir/run")
    assert code == 0
    result = artifacts.read_json(Path("home dir/run/result.json"))
    assert result["recommendation"]["sentence"] in out
    assert "Use it:  parsimony predict 'home dir/run' FILE" in out
    assert "bias" in out and "recommended" in out and " %" in out


def test_a_language_model_is_not_sent_to_predict(call: Call, quick: Callable[[str], None]) -> None:
    quick("causal-lm")
    _, out, _ = call("model", "stdlib-code", "--out", "x/run")
    assert "loss per token" in out
    assert out.splitlines()[-1] == "Use it:  the report shows how to load it"


# --- stopped ---


def test_an_interrupted_run_says_how_to_go_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, "_carry_out", stopped)
    code, out, err = call("model", good(), "--methods", "lora", "--budget", "trainable=5%",
                          "--out", "my run", "--quiet")  # fmt: skip
    assert (code, out) == (130, "")
    assert err == ("parsimony: interrupted. Continue with: parsimony adapt --resume 'my run'\n")
    assert Path("my run/plan.json").is_file()
    code, out, err = call("--resume", "my run", "--quiet")
    assert (code, out) == (130, "")
    assert err.endswith("--resume 'my run'\n")


def test_interrupted_before_there_is_a_run(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, "adapt", stopped)
    assert call("model", good(), "--quiet") == (130, "", "parsimony: interrupted\n")


def test_a_fault_while_planning_leaves_no_folder(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("of our making")

    monkeypatch.setattr(solve, "solve", broken)
    code, out, err = call("model", good(), "--out", "run", "--quiet")
    assert (code, out) == (1, "")
    assert err == (
        "parsimony: internal error, please report it: RuntimeError: of our making. Run again with "
        "--debug before the verb for the trace\n"
    )
    assert not Path("run").exists()


def test_the_default_folder_is_named_after_model_and_data(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []

    def adapt(request: workflow.Request, folder: Path, console: Any) -> dict[str, Any]:
        seen.append(folder)
        (folder).mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, "adapt", adapt)
    for _ in range(2):
        call("model", good(), "--quiet")
    assert seen == [Path("runs/model-t"), Path("runs/model-t-2")]
