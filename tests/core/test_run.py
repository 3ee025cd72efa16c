"""A run folder: made once, held by one process, complete with its manifest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core import run as runs
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.run import Run

CONFIG = {"batch": {"value": 16, "source": "default"}, "seed": {"value": 3, "source": "--seed"}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "a", CONFIG, seed=3)


def test_a_new_run_records_settings_and_surroundings(run: Run) -> None:
    assert run.settings == {"batch": 16, "seed": 3}
    found = run.read("environment.json")
    assert found["seed"] == 3
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["versions"]["numpy"]
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["memory_bytes"] > 2**20
    assert not run.complete


def test_the_machine_is_described_without_a_name(run: Run) -> None:
    import platform

    assert set(run.read("environment.json")["machine"]) == {
        "system", "architecture", "processor", "cores", "memory_bytes"
    }  # fmt: skip
    assert platform.node() not in json.dumps(list(run.read("environment.json")["machine"].values()))


def test_a_new_run_needs_an_empty_folder(run: Run) -> None:
    with pytest.raises(InputError) as caught:
        Run.create(run.folder, CONFIG, seed=0)
    assert str(caught.value) == (
        f"a new run needs an empty folder, but got '{run.folder}'. "
        f"Choose another --out, or continue it with --resume {run.folder}"
    )
    assert run.settings["seed"] == 3


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="a new run needs an empty folder"):
        Run.create(tmp_path / "file", CONFIG, seed=0)


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    assert Run.create(tmp_path, CONFIG, seed=0).has("config.json")


def test_files_are_written_and_read(run: Run) -> None:
    assert not run.has("plan.json")
    run.write("plan.json", {"steps": 12})
    assert run.has("plan.json") and run.read("plan.json") == {"steps": 12}
    with pytest.raises(ArtifactError, match=r"result\.json must exist"):
        run.read("result.json")


def test_an_unfinished_run_names_the_command_that_continues_it(run: Run) -> None:
    assert Run.open(run.folder).settings == run.settings
    with pytest.raises(ArtifactError) as caught:
        Run.open(run.folder, complete=True)
    assert str(caught.value) == (
        f"the run {run.folder} did not complete. "
        f"Continue it: the command that began it, with --resume {run.folder}"
    )


def test_a_finished_run_opens_until_a_file_changes(run: Run) -> None:
    run.finish()
    assert run.complete
    assert Run.open(run.folder, complete=True).settings == run.settings
    run.write("config.json", {"settings": {}})
    with pytest.raises(ArtifactError, match=r"'config\.json' differs from its manifest"):
        Run.open(run.folder, complete=True)


@pytest.mark.parametrize("name", ["", "missing"])
def test_what_is_no_run_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=r"a run folder needs a config\.json, but got .*Check"):
        Run.open(tmp_path / name)


def test_a_second_process_is_refused(run: Run) -> None:
    code = (
        "import sys; from pathlib import Path; from parsimony.core.run import Run\n"
        "try:\n"
        "    with Run(Path(sys.argv[1])).locked(): print('held')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )

    def other() -> str:
        command = [sys.executable, "-c", code, str(run.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with run.locked():
        assert other() == (
            f"InputError another process works on this run, but got '{run.folder}'. Wait for it"
        )
    assert other() == "held"


def test_the_lock_is_let_go_of_after_an_error(run: Run) -> None:
    with pytest.raises(KeyError), run.locked():
        raise KeyError
    with run.locked(), pytest.raises(InputError, match="another process works"), run.locked():
        pass


def test_new_folders_never_meet(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        folder = runs.new_folder(tmp_path, "adapt minilm/ag news")
        folder.mkdir()
        names.append(folder.name)
    assert names == [
        "adapt-minilm-ag-news", "adapt-minilm-ag-news-2", "adapt-minilm-ag-news-3"
    ]  # fmt: skip


@given(st.text())
def test_any_name_makes_a_folder_right_below(name: str) -> None:
    folder = runs.new_folder(Path("parent-that-is-not-there"), name)
    assert folder.parent == Path("parent-that-is-not-there")
    assert re.fullmatch(r"[\w.-]+", folder.name) and folder.name.strip(".")


def test_versions_leave_out_what_is_not_installed(monkeypatch) -> None:
    monkeypatch.setattr(runs, "_PACKAGES", ("numpy", "no-such-package-at-all"))
    assert list(runs.versions()) == ["numpy"]
