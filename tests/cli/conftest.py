"""A release repository in a folder of the test's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgekit.times import utc_now
from edgekit.trust.keys import decode_server_keys
from edgekit.trust.releases import Repository

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def release_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release repository without releases; its keys want the passphrase `right`."""
    folder = tmp_path_factory.mktemp("signed") / "release"
    keys = decode_server_keys((GOLDEN / "server-keys.json").read_bytes())
    Repository(folder, passphrase=b"right").init(keys, utc_now())
    return folder


@pytest.fixture
def desk(tmp_path: Path, release_folder: Path) -> Path:
    """A folder with that repository in it."""
    shutil.copytree(release_folder, tmp_path / "release")
    return tmp_path
