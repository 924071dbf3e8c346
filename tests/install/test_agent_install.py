"""What lands on a device: `[agent]` alone, no converter, no server, and a wheel of everything for 64-bit Arm."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
FORBIDDEN = {
    "scikit-learn", "skl2onnx", "onnx", "pandas", "scipy", "joblib", "pyarrow",  # conversion
    "fastapi", "starlette", "uvicorn", "flask", "django", "sqlalchemy", "alembic", "jinja2", "iotcore",  # server
}  # fmt: skip


def _run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=280, cwd=cwd, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = _run(*PIP, "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def device_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device") / "venv"
    assert _run(sys.executable, "-m", "venv", folder).returncode == 0
    python = folder / "bin/python"
    done = _run(python, *PIP[1:], "install", "--constraint", ROOT / "constraints.txt", f"{wheel}[agent]")
    assert done.returncode == 0, done.stderr
    return python


def test_a_device_gets_no_converter_and_no_server(device_python: Path) -> None:
    listed = json.loads(_run(device_python, "-m", "pip", "--disable-pip-version-check", "list", "--format=json").stdout)
    names = {package["name"].lower().replace("_", "-") for package in listed}
    assert "onnxruntime" in names
    assert names & FORBIDDEN == set()


def test_every_module_of_the_agent_imports_on_a_device(device_python: Path, tmp_path: Path) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "edge_agent").rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    assert importlib.util.find_spec(modules[0]) is not None
    done = _run(device_python, "-c", "import " + ", ".join(modules), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "extra"),
    [(["convert", "m.joblib", "--data", "r.csv", "--trust-pickle"], "convert"), (["fleet", "serve"], "fleet")],
)
def test_a_command_of_another_side_names_the_extra_to_install(
    device_python: Path, tmp_path: Path, words: list[str], extra: str
) -> None:
    (tmp_path / "fleet.toml").write_text("")
    (tmp_path / "m.joblib").write_bytes(b"")
    (tmp_path / "r.csv").write_text("a\n1\n")
    done = _run(device_python.parent / "edgekit", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"edgekit-ml[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr


def test_edgekit_help_works_on_a_device(device_python: Path, tmp_path: Path) -> None:
    for words in (["--help"], ["agent", "run", "--help"], ["fleet", "--help"], ["convert", "--help"]):
        assert _run(device_python.parent / "edgekit", *words, cwd=tmp_path).returncode == 0


def test_every_wheel_of_a_device_exists_for_64_bit_arm(wheel: Path, tmp_path: Path) -> None:
    # A device with glibc 2.28 takes wheels built for any older glibc too. pip does not derive the older tags from
    # --platform, so the one that some wheels (cffi, zstandard) are published under is named as well.
    platforms = ["--platform", "manylinux_2_28_aarch64", "--platform", "manylinux_2_17_aarch64"]
    done = _run(
        *PIP, "download", *platforms, "--only-binary=:all:", "--dest", tmp_path, f"{wheel}[agent]"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert any("aarch64" in path.name and "onnxruntime" in path.name for path in tmp_path.iterdir())


def test_every_dependency_has_a_lower_bound_and_a_pinned_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    }
    for line in lines:
        if line.startswith("edgekit-ml"):
            continue
        name = line.partition(">=")[0].partition("[")[0]
        assert ">=" in line
        assert name.lower() in pinned
