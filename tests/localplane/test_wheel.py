"""The project of the wheel `tallystick-controlplane`."""

import hashlib
import tomllib
from pathlib import Path

import pytest

from tallystick.localplane.build import Binaries
from tallystick.localplane.digests import NAMES, KnownBuild, cache_key
from tallystick.localplane.errors import BinariesError
from tallystick.localplane.gobuild import KUBERNETES_VERSION
from tallystick.localplane.installed import wheel_folder
from tallystick.localplane.wheel import build_of, platform_tag, write_project

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def binaries(tmp_path: Path) -> Binaries:
    folder = tmp_path / "built"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(name)
        (folder / name).chmod(0o700)
    return Binaries(*(folder / name for name in NAMES))


@pytest.fixture
def known() -> KnownBuild:
    programs = {name: hashlib.sha256(name.encode()).hexdigest() for name in NAMES}
    return KnownBuild(cache_key("1.26.8"), "1.26.8", "linux-x86_64", programs)


def test_the_wheel_has_the_programs_that_find_binaries_accepts(
    binaries: Binaries, known: KnownBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path / "project", binaries, build_of(binaries, [known]))

    project = tomllib.loads((tmp_path / "project" / "pyproject.toml").read_text())["project"]
    monkeypatch.syspath_prepend(tmp_path / "project")
    heard: list[str] = []
    assert wheel_folder([known], heard.append) == tmp_path / "project" / "tallystick_controlplane" / "bin"
    assert heard == []
    assert project["name"] == "tallystick-controlplane"
    assert project["version"].startswith(f"{KUBERNETES_VERSION}.")
    assert "py3-none-manylinux_2_17_x86_64" in (tmp_path / "project" / "hatch_build.py").read_text()


def test_no_placeholder_stays(binaries: Binaries, known: KnownBuild, tmp_path: Path) -> None:
    write_project(tmp_path / "project", binaries, known)

    assert "@" not in (tmp_path / "project" / "pyproject.toml").read_text()
    assert "@" not in (tmp_path / "project" / "hatch_build.py").read_text()


def test_the_wheel_and_the_package_are_built_by_the_same_programs(
    binaries: Binaries, known: KnownBuild, tmp_path: Path
) -> None:
    write_project(tmp_path / "project", binaries, known)

    project, package = (
        tomllib.loads((folder / "pyproject.toml").read_text()) for folder in (tmp_path / "project", REPOSITORY)
    )
    constraints = package["tool"]["uv"]["build-constraint-dependencies"]
    locked = tomllib.loads((REPOSITORY / "uv.lock").read_text())["manifest"]["build-constraints"]
    assert project["tool"]["uv"]["build-constraint-dependencies"] == constraints
    assert [f"{one['name']}{one['specifier']}" for one in locked] == sorted(constraints)


def test_programs_of_no_known_build_get_no_wheel(binaries: Binaries, known: KnownBuild) -> None:
    binaries.kubectl.write_text("another")

    with pytest.raises(BinariesError, match="are of no build in localplane"):
        build_of(binaries, [known])


@pytest.mark.parametrize(
    ("platform", "tag"),
    [
        ("linux-x86_64", "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64"),
        ("linux-aarch64", "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64"),
        ("macosx-12.0-arm64", "macosx_12_0_arm64"),
    ],
)
def test_a_platform_has_its_tag(platform: str, tag: str) -> None:
    assert platform_tag(platform) == tag


def test_a_platform_without_a_tag_is_named() -> None:
    with pytest.raises(BinariesError, match="No wheel can be made for win-amd64"):
        platform_tag("win-amd64")
