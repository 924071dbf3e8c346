"""What a bundle asks of a device is checked before anything of it is loaded."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from edge_agent.update import preflight
from edge_agent.update.dialog import PreflightReport, PreflightRequest
from edgekit import bundle as bundles
from edgekit import packing
from edgekit.manifest import Requires
from tests.support.models import make_bundle

HERE = metadata.version("onnxruntime")
MAJOR, MINOR = (int(part) for part in HERE.split(".")[:2])


def outcome(folder: Path, **requires: object) -> PreflightReport:
    """The report of a bundle that asks for this."""
    made = bundles.parse(make_bundle())
    asked: Requires = msgspec.structs.replace(made.manifest.requires, **requires)
    roles = [line.role for line in made.manifest.files]
    content = packing.build(
        msgspec.structs.replace(made.manifest, requires=asked, files=[]),
        {role: packing.expand(made, role) for role in roles},
    )
    path = folder / "m.edgekit"
    path.write_bytes(content)
    bundle = bundles.parse(content)
    request = PreflightRequest(
        bundle=str(path),
        folder=str(folder / "expanded"),
        name=bundle.manifest.name,
        version=bundle.manifest.version,
        sha256=bundle.sha256,
        expanded_sha256=bundle.manifest.file("model").expanded_sha256,
        memory_bytes=1 << 34,
    )
    return preflight.report(request)


@pytest.mark.parametrize("oldest", [pytest.param(HERE, id="this one"), pytest.param(f"{MAJOR}.1", id="an older one")])
def test_a_model_that_this_runtime_answers_passes(tmp_path: Path, oldest: str) -> None:
    found = outcome(tmp_path, onnxruntime_min=oldest)
    assert found.reason is None, found


@pytest.mark.parametrize(
    "oldest",
    [
        pytest.param(f"{MAJOR}.{MINOR + 1}.0", id="a newer one"),
        pytest.param(f"{MAJOR + 1}.0.0", id="the next major"),
        pytest.param(f"{MAJOR - 1}.9.0", id="the former major"),
    ],
)
def test_a_model_for_another_runtime_is_refused_before_it_is_written(tmp_path: Path, oldest: str) -> None:
    found = outcome(tmp_path, onnxruntime_min=oldest)
    assert (found.reason, found.refused) == ("runtime_mismatch", False)
    assert oldest in (found.detail or "")
    assert HERE in (found.detail or "")
    assert not (tmp_path / "expanded").exists()


def test_a_model_for_another_processor_is_refused(tmp_path: Path) -> None:
    assert outcome(tmp_path, arch=["riscv64"]).reason == "hardware_mismatch"
