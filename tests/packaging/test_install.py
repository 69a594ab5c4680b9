"""The wheel and the sdist carry schemas and samples, and msh finds them however it is installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import msh

ROOT = Path(msh.__file__).resolve().parents[1]
LOOK = (
    "import msh, msh.catalog, msh.profiles; print(msh.__file__);"
    "print(len(msh.catalog.load().statuses), msh.profiles.standard_profile().namespace);"
    "from msh.cli.samples import sample_body;"
    "print(msh.bodies.of().read('PS810FTRQ', sample_body('PS810FTRQ').encode())['BusType'])"
)


def build(source: Path, target: str, folder: Path) -> Path:
    """One distribution, by hatchling without asking any index."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (made,) = folder.iterdir()
    return made


def look(path: Path) -> list[str]:
    """What msh says of itself when imported from ``path`` alone."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(path)!r}); {LOOK}"],
        cwd=path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()


@pytest.mark.parametrize("by_way_of", ["checkout", "sdist"])
def test_wheel(tmp_path, by_way_of):
    source = ROOT
    if by_way_of == "sdist":
        with tarfile.open(build(ROOT, "sdist", tmp_path / "sdist")) as archive:
            archive.extractall(tmp_path / "source", filter="data")
        (source,) = (tmp_path / "source").iterdir()
        assert (source / "schemas" / "tdcc-psp-3.4" / "profile.toml").is_file()
        assert (source / "tests").is_dir()
    wheel = build(source, "wheel", tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert "msh/schemas/tdcc-psp-3.4/profile.toml" in names
    assert "msh/schemas/tdcc-psp-3.4/envelope.xsd" in names
    assert "msh/schemas/tdcc-psp-3.4/bodies/PS810FTRQ.xsd" in names
    assert len([name for name in names if name.startswith("msh/examples/messages/")]) == 26
    assert "msh/py.typed" in names
    assert "msh/store/sqlite/migrations/0001_initial.sql" in names
    assert not [name for name in names if name.startswith(("tests/", "examples/"))]
    file, found, sample = look(tmp_path / "installed")
    assert Path(file).is_relative_to(tmp_path / "installed")
    assert found == "62 urn:tdcc:psp:sms:3.4"
    assert sample == "010"


def test_editable():
    file, found, sample = look(ROOT)
    assert Path(file).is_relative_to(ROOT)
    assert found == "62 urn:tdcc:psp:sms:3.4"
    assert sample == "010"
