"""Files are whole or absent, and what changed after sealing is found."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError


def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "a.json"
    artifacts.write_text(file, "old")

    def broken(*_: object) -> None:
        raise OSError("disk gone")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", broken)
        with pytest.raises(OSError, match="disk gone"):
            artifacts.write_text(file, "new")
    assert file.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.json"]


def test_a_write_makes_its_folder(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "a" / "b.json", {"x": "é"})
    assert (tmp_path / "a" / "b.json").read_bytes() == '{\n  "x": "é"\n}\n'.encode()


_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@given(_values)
def test_json_reads_back(value: object) -> None:
    assert json.loads(artifacts.dumps(value)) == value


def test_equal_values_give_equal_bytes() -> None:
    assert artifacts.dumps({"a": 1, "b": 2}) == artifacts.dumps({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_word_for_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.dumps({"score": value})


def test_reading_what_is_not_there_or_not_json(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"the file .*x\.json must exist\. Check the path"):
        artifacts.read_json(tmp_path / "x.json")
    for content in (b"{", b"\xff\xfe"):
        (tmp_path / "y.json").write_bytes(content)
        with pytest.raises(ArtifactError, match=r"the file .*y\.json must be JSON"):
            artifacts.read_json(tmp_path / "y.json")


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192  # more than one block
    (tmp_path / "a").write_bytes(data)
    assert artifacts.sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    artifacts.write_text(folder / "a.txt", "one")
    artifacts.write_text(folder / "deep" / "b.txt", "two")
    (folder / ".lock").touch()
    (folder / ".a.txt.1.tmp").touch()
    artifacts.seal(folder, kind="test")
    return folder


def test_sweeping_deletes_what_killed_writers_left_and_nothing_else(sealed: Path) -> None:
    (sealed / "deep" / ".b.txt.2.tmp").touch()
    (sealed / "deep" / "c.tmp").touch()
    artifacts.sweep(sealed)
    left = {file.name for file in sealed.rglob("*") if file.is_file()}
    assert left == {"a.txt", "b.txt", "c.tmp", ".lock", "manifest.json"}


def test_a_sealed_folder_verifies(sealed: Path) -> None:
    assert artifacts.is_sealed(sealed)
    manifest = artifacts.verify(sealed)
    assert manifest["kind"] == "test"
    assert sorted(manifest["files"]) == ["a.txt", "deep/b.txt"]


def test_a_changed_file_is_named(sealed: Path) -> None:
    (sealed / "deep" / "b.txt").write_text("twO")
    with pytest.raises(ArtifactError) as caught:
        artifacts.verify(sealed)
    assert str(caught.value) == (
        f"{sealed}: the file 'deep/b.txt' differs from its manifest. "
        "It was changed after it was written; restore it or start anew"
    )


def test_a_missing_file_is_named(sealed: Path) -> None:
    (sealed / "a.txt").unlink()
    with pytest.raises(ArtifactError, match=r"the file 'a\.txt' of the manifest is missing"):
        artifacts.verify(sealed)


def test_an_unsealed_folder_is_refused(tmp_path: Path) -> None:
    assert not artifacts.is_sealed(tmp_path)
    with pytest.raises(ArtifactError, match=r"manifest\.json must exist"):
        artifacts.verify(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"files": ["a.txt"]}'])
def test_a_foreign_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match="the manifest must list its files"):
        artifacts.verify(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret"])
def test_a_path_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(InputError, match=r"a path must stay inside .*run, but got"):
        artifacts.inside(folder, name)
    artifacts.write_json(folder / "manifest.json", {"files": {name: "0"}})
    with pytest.raises(InputError, match="a path must stay inside"):
        artifacts.verify(folder)


def test_a_link_cannot_leave_its_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="a path must stay inside"):
        artifacts.inside(tmp_path / "run", "link/secret")


def test_a_path_inside_is_resolved(tmp_path: Path) -> None:
    assert artifacts.inside(tmp_path, "a/../b") == tmp_path.resolve() / "b"
