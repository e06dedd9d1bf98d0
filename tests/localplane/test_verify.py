"""Building once more to compare, with a build that takes no time."""

import hashlib
import json
from pathlib import Path

import pytest

from tallystick.localplane.build import build_key, find_binaries
from tallystick.localplane.digests import NAMES, KnownBuild
from tallystick.localplane.errors import BinariesError
from tallystick.localplane.toolchain import platform_name
from tallystick.localplane.verify import verify_build
from tests.localplane.test_build import FakeBuild, silent


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/nonexistent"}


def known_as(environ: dict[str, str], **other: str) -> KnownBuild:
    programs = {name: hashlib.sha256(f"#!/bin/sh\necho {name}\n".encode()).hexdigest() for name in NAMES}
    return KnownBuild(build_key(environ), "1.27.3", platform_name(), programs | other)


def test_the_same_bytes_are_reported_with_the_entry_for_our_tree(environ: dict[str, str]) -> None:
    heard: list[str] = []

    verify_build(heard.append, environ=environ, build=FakeBuild(), known=[known_as(environ)])

    assert heard[-1] == "The new build has the same bytes as localplane/binaries/digests.json."
    assert json.loads(heard[1]) == {
        build_key(environ): {
            "go": "1.27.3",
            "platform": platform_name(),
            "programs": dict(known_as(environ).programs),
        }
    }


def test_another_program_is_named(environ: dict[str, str]) -> None:
    known = [known_as(environ, etcd="0" * 64)]

    with pytest.raises(BinariesError, match=r"differs in etcd \(localplane/binaries/digests.json\)\. Do not use"):
        verify_build(silent, environ=environ, build=FakeBuild(), known=known)


def test_the_cache_is_compared_too_and_stays_as_it_was(environ: dict[str, str]) -> None:
    cached = find_binaries(silent, environ=environ, build=FakeBuild(), known=())
    before = {path: path.read_bytes() for path in cached.etcd.parent.iterdir()}
    heard: list[str] = []

    verify_build(heard.append, environ=environ, build=FakeBuild(), known=())

    assert heard[-1] == "The new build has the same bytes as the cache."
    assert {path: path.read_bytes() for path in cached.etcd.parent.iterdir()} == before


def test_nothing_to_compare_with_is_a_failure_that_leaves_nothing_behind(environ: dict[str, str]) -> None:
    with pytest.raises(BinariesError, match=r"There is no build of Go 1\.27\.3 for .* to compare with"):
        verify_build(silent, environ=environ, build=FakeBuild(), known=())

    assert list((Path(environ["XDG_CACHE_HOME"]) / "tallystick" / "localplane").iterdir()) == []


def test_no_result_of_an_earlier_build_is_used(environ: dict[str, str], tmp_path: Path) -> None:
    asked: list[str] = []

    def build(staging: Path, environ, report) -> Path:
        asked.append(environ["GOCACHE"])
        return FakeBuild()(staging, environ, report)

    warm = environ | {"GOCACHE": str(tmp_path / "warm")}
    verify_build(silent, environ=warm, build=build, known=[known_as(environ)])

    assert not Path(asked[0]).exists()
    assert asked[0] != warm["GOCACHE"]
