"""`tallystick pair` proves that it can store its result before it sends the pairing token."""

import errno
import fcntl
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest

from tallystick.pairing.client.files import PairError
from tallystick.pairing.client.places import StandardOutput, file_place
from tests.fakes import FakeClock
from tests.harness.processes import poll
from tests.worlds.pair_site import LOOPBACK, a_site, certificates
from tests.worlds.replica import Replica

__all__ = ["certificates"]

PAIR = "import typer; from tallystick.pairing.command_line import pair; typer.run(pair)"
BEARER = pytest.mark.parametrize("options", [(), ("--no-dpop",)], ids=["with a key", "bearer"])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def files_of_at_most(size: int):
    """A file cannot grow beyond a size, as on a disk that is full."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


@BEARER
@pytest.mark.parametrize("reason", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
async def test_a_file_system_without_hard_links_gets_the_master_token(
    certificates, tmp_path, monkeypatch, options, reason
):
    def no_hard_links(*_: object, **__: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "link", no_hard_links)
    async with a_site(certificates, tmp_path) as site:
        result = await site.pair(site.replica.pairing_token(), *options)

    keys = [] if options else ["master-token.key"]
    assert result.exit_code == 0, result.stderr
    assert names_in(tmp_path) == ["master-token", *keys, "pairing-token"]
    assert stat.S_IMODE(site.out.stat().st_mode) == 0o600
    assert site.out.read_text().count(".") == 2


def a_folder(path: Path) -> None:
    path.mkdir()


def a_symbolic_link(path: Path) -> None:
    (path.parent / "precious").write_text("precious")
    path.symlink_to("precious")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("none")


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@BEARER
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "forced"])
@pytest.mark.parametrize("make", [a_folder, a_symbolic_link, a_link_to_nothing, a_fifo, a_socket])
async def test_out_that_is_no_regular_file_is_refused_and_consumes_nothing(
    certificates, tmp_path, make: Callable[[Path], None], options, force
):
    async with a_site(certificates, tmp_path) as site:
        make(site.out)
        before = site.out.lstat()
        result = await site.pair(site.replica.pairing_token(), *options, *force)

    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"--out {site.out} is a" in result.stderr
    assert "set the path of a regular file" in result.stderr
    assert os.path.samestat(site.out.lstat(), before)
    assert (site.posts, site.replica.status_of()["state"]) == ([], "Active")
    assert set(names_in(tmp_path)) <= {"master-token", "pairing-token", "precious"}


async def test_force_does_not_replace_a_device(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        result = await site.pair(site.replica.pairing_token(), "--force", "--no-dpop", out="/dev/null")

    assert "--out /dev/null is a device" in result.stderr
    assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)


async def test_force_replaces_a_regular_file(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        site.out.write_text("old")
        site.out.chmod(0o644)
        result = await site.pair(site.replica.pairing_token(), "--force")

    assert result.exit_code == 0, result.stderr
    assert site.out.read_text() != "old"
    assert stat.S_IMODE(site.out.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "out",
    [
        pytest.param("none/out", id="no folder"),
        pytest.param("pairing-token/out", id="a file in place of its folder"),
        pytest.param("n" * 300, id="a name that is too long"),
        pytest.param("loop/out", id="links in a circle"),
        pytest.param("/proc/out", id="a file system that creates nothing"),
    ],
)
async def test_out_that_cannot_be_created_consumes_nothing(certificates, tmp_path, out):
    (tmp_path / "loop").symlink_to("loop")
    async with a_site(certificates, tmp_path) as site:
        result = await site.pair(site.replica.pairing_token(), "--no-dpop", out=str(tmp_path / out))

    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "cannot be written: " in result.stderr
    assert (site.posts, names_in(tmp_path)) == ([], ["loop", "pairing-token"])


@BEARER
async def test_a_full_disk_consumes_nothing(certificates, tmp_path, options):
    async with a_site(certificates, tmp_path) as site:
        token = site.replica.pairing_token()
        with files_of_at_most(2048):  # the token file fits, a master token may not
            result = await site.pair(token, *options)

    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"--out {site.out} cannot be written: File too large" in result.stderr
    assert (site.posts, names_in(tmp_path)) == ([], ["pairing-token"])


async def test_no_key_file_is_made_before_the_token_is_verified(certificates, tmp_path):
    stranger = Replica(clock=FakeClock())

    async with a_site(certificates, tmp_path) as site:
        result = await site.pair(stranger.pairing_token())

    assert result.exit_code == 1
    assert names_in(tmp_path) == ["pairing-token"]


async def test_the_key_file_exists_before_the_token_is_sent(certificates, tmp_path):
    seen = []

    async with a_site(certificates, tmp_path) as site:
        key = tmp_path / "master-token.key"
        site.before_answer = lambda method: seen.append(key.read_bytes() if key.exists() else method)
        await site.pair(site.replica.pairing_token())

    assert seen == ["GET", "GET", key.read_bytes()]


@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "forced"])
async def test_a_name_that_is_taken_during_the_request_loses_no_master_token(certificates, tmp_path, force):
    async with a_site(certificates, tmp_path) as site:
        site.before_answer = lambda method: site.out.mkdir() if method == "POST" else None
        result = await site.pair(site.replica.pairing_token(), "--no-dpop", *force)

    spare = tmp_path / "master-token.1"
    assert result.exit_code == 1
    assert f"{site.out} was taken by another program in the meantime; move {spare} to its place" in result.stderr
    assert spare.read_text().count(".") == 2
    assert names_in(tmp_path) == ["master-token", "master-token.1", "pairing-token"]


async def test_a_key_file_that_another_program_makes_meanwhile_is_not_replaced(certificates, tmp_path):
    key = tmp_path / "master-token.key"
    async with a_site(certificates, tmp_path) as site:
        site.before_answer = lambda _: key.write_text("precious")
        result = await site.pair(site.replica.pairing_token())

    assert result.exit_code == 1
    assert f"--key-file {key} was created by another program" in result.stderr
    assert (site.posts, key.read_text()) == ([], "precious")
    assert names_in(tmp_path) == ["master-token.key", "pairing-token"]


async def test_out_and_key_file_must_differ(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        result = await site.pair(site.replica.pairing_token(), key_file=str(tmp_path / "." / "master-token"))

    assert result.exit_code == 2
    assert names_in(tmp_path) == ["pairing-token"]


def test_what_a_killed_run_left_is_deleted_at_the_next_one(tmp_path):
    left, running = (tmp_path / f".x.tallystick-{digit * 16}" for digit in "ab")
    left.write_text("a token")
    running.write_text("another token")

    with running.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with file_place("--out", tmp_path / "out", force=False) as place:
            assert len(names_in(tmp_path)) == 2
            place.store("token")

    assert names_in(tmp_path) == [running.name, "out"]


def stream_without_reader():
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


def closed():
    stream = Path(os.devnull).open("w")  # noqa: SIM115
    stream.close()
    return stream


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        pytest.param(lambda: Path("/dev/full").open("w"), "No space left on device", id="a full disk"),  # noqa: SIM115
        pytest.param(stream_without_reader, "Broken pipe", id="a reader that has gone"),
        pytest.param(closed, "it is closed", id="closed"),
        pytest.param(lambda: None, "it is closed", id="none"),
    ],
)
def test_a_standard_output_that_cannot_be_written_is_refused_at_once(monkeypatch, stream, reason):
    opened = stream()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", opened)
        with pytest.raises(PairError, match=f"standard output cannot be written: {reason}"):
            StandardOutput()
    if opened is not None:
        opened.close()


# Sends SIGTERM to itself as soon as so many files exist: before anything else can refer to them.
STOPPED_AT = """
import os, signal, sys
left, real = int(sys.argv.pop(1)), os.open
def opened(path, flags, *rest):
    global left
    descriptor = real(path, flags, *rest)
    if flags & os.O_EXCL:
        left -= 1
        if not left:
            signal.raise_signal(signal.SIGTERM)
    return descriptor
os.open = opened
"""


@pytest.mark.parametrize("file", [1, 2], ids=["of the master token", "of the key"])
def test_sigterm_at_the_creation_of_a_file_leaves_none(tmp_path, file):
    (tmp_path / "token").write_text("a.b.c")
    command = [str(file), "--issuer", f"https://{LOOPBACK}:1", "--out", "out", "--token-file", "token"]

    ended = subprocess.run(
        [sys.executable, "-c", STOPPED_AT + PAIR, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (128 + signal.SIGTERM, "")
    assert names_in(tmp_path) == ["token"]


def test_sigterm_ends_it_and_leaves_no_file(tmp_path):
    (tmp_path / "token").write_text("a.b.c")
    with socket.create_server((LOOPBACK, 0)) as silent:
        command = ["--issuer", f"https://{LOOPBACK}:{silent.getsockname()[1]}", "--out", "out", "--token-file", "token"]
        process = subprocess.Popen(
            [sys.executable, "-c", PAIR, *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        poll(lambda: len(names_in(tmp_path)) == 3)  # the token, and the hidden files of master token and key
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (128 + signal.SIGTERM, "")
    assert names_in(tmp_path) == ["token"]
