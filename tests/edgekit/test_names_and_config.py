"""Ids, versions and configuration files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgekit import config, names
from edgekit.errors import ConfigError, UsageFault


@pytest.mark.parametrize(
    ("text", "good"),
    [("press-7", True), ("7", True), ("a" * 63, True), ("a" * 64, False), ("Press", False), ("-a", False), ("", False)]
    + [("a/b", False), ("a+", False), ("a\n", False), ("ä", False)],
)
def test_ids(text: str, good: bool) -> None:
    assert names.is_id(text) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [("1.4.0", True), ("0.0.1-rc.1", True), ("1.4", False), ("01.0.0", False), ("1.0.0+b", False), ("1.0.0-01", False)]
    + [("1.0.0-", False), ("1.0.0\n", False), ("1.0.0-" + "a" * 80, False)],
)
def test_versions(text: str, good: bool) -> None:
    assert names.is_version(text) is good


def test_versions_sort_as_semver_says() -> None:
    # the example of Semantic Versioning 2.0.0, item 11
    order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    order += ["1.0.0-rc.1", "1.0.0", "1.2.0", "1.10.0"]
    assert sorted(set(order), key=names.version_key) == order


def test_a_bad_id_names_the_rule() -> None:
    with pytest.raises(UsageFault, match="device id 'Press 7' is not allowed: use 1 to 63 lower-case"):
        names.check_id("Press 7", "device id")


def test_a_model_may_not_be_called_like_a_metadata_role() -> None:
    with pytest.raises(UsageFault, match="reserved"):
        names.check_model_name("targets")


class Http(msgspec.Struct, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: int = 8700


class Example(msgspec.Struct, frozen=True, kw_only=True):
    join: str
    http: Http = Http()


def _load(folder: Path, text: str, environ: dict[str, str] | None = None) -> Example:
    path = folder / "example.toml"
    path.write_text(text)
    return config.load(path, Example, environ or {})


def test_a_configuration_with_defaults(tmp_path: Path) -> None:
    assert _load(tmp_path, 'join = "j"\n[http]\nport = 1') == Example(join="j", http=Http(port=1))


def test_the_environment_overrides_file_and_default(tmp_path: Path) -> None:
    found = _load(tmp_path, 'join = "j"', {"EDGEKIT_HTTP_PORT": "9", "EDGEKIT_JOIN": "k"})
    assert found == Example(join="k", http=Http(port=9))


def test_every_fault_is_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, 'colour = 1\n[http]\nport = "many"\nhots = "x"')
    assert len(caught.value.faults) == 4
    for words in ("colour is not a known setting", "http.port: ", "http.hots is not a known", "join is missing"):
        assert words in caught.value.message


@pytest.mark.parametrize("text", ["= 1", "a = 1\na = 2", "\x00"])
def test_what_is_not_toml_says_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is not valid TOML"):
        _load(tmp_path, text)


def test_a_missing_configuration_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "none.toml", Example, {})
