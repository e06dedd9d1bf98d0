"""Finding the binaries, with a build that takes no time."""

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from tallystick.localplane.build import Binaries, build_key
from tallystick.localplane.build import find_binaries as find_any_binaries
from tallystick.localplane.digests import NAMES
from tallystick.localplane.errors import BinariesError, PlaneError
from tallystick.localplane.folders import Progress

# No wheel and no build of our tree: what is found here was built here.
find_binaries = partial(find_any_binaries, known=())


class FakeBuild:
    """Writes four small programs, and counts how often it was asked to."""

    def __init__(self, *, fails: bool = False) -> None:
        self.times = 0
        self._fails = fails

    def __call__(self, staging: Path, environ: Mapping[str, str], report: Progress) -> Path:
        self.times += 1
        folder = staging / "bin"
        folder.mkdir()
        for name in NAMES[:2] if self._fails else NAMES:
            (folder / name).write_text(f"#!/bin/sh\necho {name}\n")
        if self._fails:
            raise BinariesError("no space left on device")
        return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}


def silent(line: str) -> None:
    """Hear nothing."""


def home_of(environ: Mapping[str, str]) -> Path:
    return Path(environ["XDG_CACHE_HOME"]) / "tallystick" / "localplane" / build_key(environ)


def test_a_build_is_used_again(environ: dict[str, str]) -> None:
    build = FakeBuild()
    first = find_binaries(silent, environ=environ, build=build)

    second = find_binaries(silent, environ=environ, build=build)

    assert build.times == 1
    assert first == second == Binaries(*(home_of(environ) / name for name in NAMES))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda home: (home / "kubectl").unlink(), id="a binary is missing"),
        pytest.param(lambda home: (home / "etcd").write_text("#!/bin/sh\n"), id="a binary is cut short"),
        pytest.param(lambda home: (home / "etcd").write_text("#!/bin/sh\necho ETCD\n"), id="same size, other bytes"),
        pytest.param(lambda home: (home / "manifest.json").write_text('{"etcd"'), id="the manifest is cut short"),
        pytest.param(lambda home: (home / "manifest.json").unlink(), id="the manifest is missing"),
    ],
)
def test_a_damaged_build_is_made_again(environ: dict[str, str], damage) -> None:
    build = FakeBuild()
    find_binaries(silent, environ=environ, build=build)
    damage(home_of(environ))

    binaries = find_binaries(silent, environ=environ, build=build)

    assert build.times == 2
    assert binaries.etcd.read_text() == "#!/bin/sh\necho etcd\n"


def test_a_failed_build_leaves_nothing_that_is_used_later(environ: dict[str, str]) -> None:
    with pytest.raises(BinariesError, match="no space"):
        find_binaries(silent, environ=environ, build=FakeBuild(fails=True))

    left = {path.name for path in home_of(environ).parent.iterdir()}
    repaired = FakeBuild()
    find_binaries(silent, environ=environ, build=repaired)

    assert left == {f"{build_key(environ)}.lock"}
    assert repaired.times == 1


def test_the_stage_of_a_killed_build_is_cleared_away(environ: dict[str, str]) -> None:
    find_binaries(silent, environ=environ, build=FakeBuild())
    home = home_of(environ)
    stale = home.with_name(f"{home.name}.build-killed")
    home.rename(stale)

    build = FakeBuild()
    find_binaries(silent, environ=environ, build=build)

    assert build.times == 1
    assert not stale.exists()


def test_the_second_builder_waits_says_so_and_uses_the_result(environ: dict[str, str]) -> None:
    building, may_finish = threading.Event(), threading.Event()
    build, heard = FakeBuild(), []

    def slow_build(staging: Path, environ: Mapping[str, str], report: Progress) -> Path:
        building.set()
        assert may_finish.wait(30)
        return build(staging, environ, report)

    def hear(line: str) -> None:
        heard.append(line)
        may_finish.set()

    first = threading.Thread(
        target=find_binaries, args=(silent,), kwargs={"environ": environ, "build": slow_build}, daemon=True
    )
    first.start()
    assert building.wait(30)

    find_binaries(hear, environ=environ, build=build)
    first.join(30)

    assert build.times == 1
    assert len(heard) == 1
    assert "is building the control plane; waiting for it" in heard[0]


def test_a_cache_that_others_can_write_to_is_refused(environ: dict[str, str]) -> None:
    folder = home_of(environ).parent
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o700)
    folder.chmod(0o770)

    with pytest.raises(PlaneError, match="open to other users"):
        find_binaries(silent, environ=environ, build=FakeBuild())


def assets(folder: Path, *names: str) -> dict[str, str]:
    folder.mkdir()
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return {"KUBEBUILDER_ASSETS": str(folder)}


def test_kubebuilder_assets_win_over_the_cache(tmp_path: Path, environ: dict[str, str]) -> None:
    build = FakeBuild()
    find_binaries(silent, environ=environ, build=build)

    found = find_binaries(silent, environ=environ | assets(tmp_path / "assets", *NAMES), build=build)

    assert found == Binaries(*(tmp_path / "assets" / name for name in NAMES))
    assert build.times == 1


def test_a_missing_asset_is_named_with_the_way_out(tmp_path: Path) -> None:
    environ = assets(tmp_path / "assets", "etcd", "kube-apiserver", "kubectl")

    with pytest.raises(BinariesError) as refused:
        find_binaries(silent, environ=environ, build=FakeBuild())

    assert "no executable kube-controller-manager" in str(refused.value)
    assert "unset the variable" in str(refused.value)


def test_kubectl_may_come_from_the_path_instead_of_the_assets(tmp_path: Path) -> None:
    elsewhere = assets(tmp_path / "elsewhere", "kubectl")["KUBEBUILDER_ASSETS"]
    environ = assets(tmp_path / "assets", *(name for name in NAMES if name != "kubectl"))

    found = find_binaries(silent, environ=environ | {"PATH": elsewhere}, build=FakeBuild())

    assert found.kubectl == tmp_path / "elsewhere" / "kubectl"
