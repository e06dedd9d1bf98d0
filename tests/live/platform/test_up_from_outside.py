"""`tallystick up` from the outside: what a person at a terminal, or a script, has of it.

The fixtures are one story in the order of this file: it starts, it is interrupted, it starts again, it is killed.
"""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import free_ports
from tests.harness.controllers import LEASE
from tests.harness.objects import must, read_token
from tests.harness.outside import TALLYSTICK, UpProcess, still_running
from tests.harness.processes import poll

Json = dict[str, Any]

STORED = ("--output=jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{'\\n'}{end}",)


@dataclass(frozen=True, slots=True)
class Ended:
    """How the first run ended, and what it left behind."""

    status: int
    left: list[tuple[int, str]]
    output: str
    files: set[str]


@dataclass(frozen=True, slots=True)
class Trust:
    """What a user has after pairing: the answer, and the master token in a file."""

    answer: Json
    master_file: Path
    keys: Json
    stored: str


@pytest.fixture(scope="module")
def listen() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def first_run(folder: Path, listen: str, plane: ControlPlane) -> Iterator[UpProcess]:
    """Running and ready. Of `plane` it uses kubectl alone."""
    run = UpProcess.start(folder / "data", listen, plane.binaries.kubectl)
    with ExitStack() as stack:
        stack.callback(run.kill)
        yield run.await_ready()


@pytest.fixture(scope="module")
def trust(first_run: UpProcess, folder: Path) -> Trust:
    """A pairing that was made in the first run, beside a token that nobody has redeemed."""
    first_run.apply("kept")
    first_run.apply("unused")
    status, answer = first_run.redeem(first_run.token_into(folder / "kept.token", "kept"))
    assert status == 200, answer
    master = folder / "kept.master"
    master.write_text(answer["access_token"])
    # The controller's own writes for this pairing come after the answer.
    poll(lambda: "kept-pairing-token" not in first_run.kubectl("get", "secrets", "--output=name"))
    first_run.kubectl("wait", "--for=condition=Ready", f"mtok/mtok-{answer['token_id']}", "--timeout=120s")
    _, keys = first_run.curl("/.well-known/jwks.json")
    return Trust(answer, master, keys, first_run.kubectl("get", "ptok,mtok,secrets", *STORED))


@pytest.fixture(scope="module")
def ended(first_run: UpProcess, trust: Trust) -> Ended:
    """Ctrl-C."""
    processes = first_run.descendants()
    status = first_run.interrupt()
    files = {path.name for path in first_run.folder.iterdir()}
    return Ended(status, still_running(processes), first_run.output.read_text(), files)


@pytest.fixture(scope="module")
def second_run(ended: Ended, folder: Path, listen: str, plane: ControlPlane) -> Iterator[UpProcess]:
    """The same command once more."""
    run = UpProcess.start(folder / "data", listen, plane.binaries.kubectl)
    with ExitStack() as stack:
        stack.callback(run.kill)
        yield run.await_ready()


# It runs.


def test_what_it_writes_is_private_and_what_it_prints_can_be_typed(first_run: UpProcess, listen: str) -> None:
    names = ("kubeconfig", "exchange-url", "ca.crt")

    first_run.await_line(f"export KUBECONFIG={first_run.folder}/kubeconfig\n")

    assert {stat.S_IMODE((first_run.folder / name).stat().st_mode) for name in names} == {0o600}
    assert stat.S_IMODE(first_run.folder.stat().st_mode) == 0o700
    assert first_run.url == f"https://{listen}"
    assert first_run.curl("/.well-known/jwks.json")[0] == 200
    assert first_run.curl("/.well-known/oauth-authorization-server")[1]["issuer"] == first_run.url


def test_the_main_job_goes_with_kubectl_and_curl(first_run: UpProcess, tmp_path: Path) -> None:
    first_run.apply("site-a")
    token_file = first_run.token_into(tmp_path / "token", "site-a")
    token_id = read_token(token_file.read_text()).claims["jti"]

    first, second = first_run.redeem(token_file), first_run.redeem(token_file)
    master = tmp_path / "master"
    master.write_text(first[1]["access_token"])
    bearer = first_run.bearer()
    described = must(poll(lambda: _active(first_run, master, bearer)))
    revoked, _ = first_run.curl("/oauth2/revoke", "--data-urlencode", f"token@{master}")

    text = f"pairing token {token_id} has already been used"
    assert first[0] == 200
    assert second == (400, {"error": "invalid_request", "error_description": text})
    assert (described["sub"], described["jti"]) == ("tallystick-admin", first[1]["token_id"])
    assert revoked == 200
    poll(lambda: first_run.introspect(master, bearer) == (200, {"active": False}), seconds=2.0)
    shown = first_run.kubectl("get", "ptok", "site-a", "--output=wide")
    assert token_id in shown
    assert "Used" in shown


def _active(run: UpProcess, token_file: Path, bearer: str) -> Json | None:
    status, answer = run.introspect(token_file, bearer)
    return answer if status == 200 and answer["active"] else None


def test_a_busy_port_is_reported_with_what_to_do(first_run: UpProcess, tmp_path: Path, listen: str) -> None:
    done = _up(tmp_path / "data", listen)

    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"error: {listen} is in use by another process; stop it, or set another address")


def test_a_folder_that_is_in_use_is_reported_with_what_to_do(first_run: UpProcess) -> None:
    done = _up(first_run.folder, f"127.0.0.1:{free_ports(1)[0]}")

    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"error: {first_run.folder} is in use by process {first_run.process.pid}")


def _up(folder: Path, listen: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*TALLYSTICK, "up", "--data-dir", str(folder), "--listen", listen],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# `tallystick pair` against it.


def test_pair_redeems_for_a_key_of_its_own_and_shows_no_token(first_run: UpProcess, tmp_path: Path) -> None:
    first_run.apply("by-file")
    token_file = first_run.token_into(tmp_path / "token", "by-file")
    master = tmp_path / "master"

    done = _pair(first_run, "--token-file", str(token_file), "--out", str(master))

    described = must(poll(lambda: _active(first_run, _stripped(master), first_run.bearer())))
    assert done.returncode == 0, done.stderr
    assert {stat.S_IMODE(path.stat().st_mode) for path in (master, tmp_path / "master.key")} == {0o600}
    assert described["token_type"] == "DPoP"
    shown = done.stdout + done.stderr
    assert all(_signature(path) not in shown for path in (token_file, master))


def test_pair_reads_standard_input_and_gets_the_same_token_for_the_same_key(
    first_run: UpProcess, tmp_path: Path
) -> None:
    first_run.apply("by-input")
    token = first_run.token_into(tmp_path / "token", "by-input").read_text()
    places = ("--key-file", str(tmp_path / "key"), "--token-file", "-")

    done = [_pair(first_run, *places, "--out", str(tmp_path / name), said=token) for name in ("one", "two")]

    assert [run.returncode for run in done] == [0, 0], done
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()


def test_pair_prints_what_the_exchange_says(first_run: UpProcess, tmp_path: Path) -> None:
    first_run.apply("spent")
    token_file = first_run.token_into(tmp_path / "token", "spent")
    first_run.redeem(token_file)

    done = _pair(first_run, "--token-file", str(token_file), "--out", str(tmp_path / "master"))

    assert done.returncode == 1
    assert "has already been used" in done.stderr
    assert not (tmp_path / "master").exists()


def _pair(run: UpProcess, *arguments: str, said: str = "") -> "subprocess.CompletedProcess[str]":
    trusted = ("--issuer", run.url, "--ca-file", str(run.folder / "ca.crt"))
    return subprocess.run(
        [*TALLYSTICK, "pair", *trusted, *arguments],
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _stripped(file: Path) -> Path:
    """Give the token without the newline at its end: curl would send it along."""
    bare = file.with_suffix(".bare")
    bare.write_text(file.read_text().strip())
    return bare


def _signature(token_file: Path) -> str:
    return token_file.read_text().strip().rpartition(".")[2]


# It ends.


def test_ctrl_c_ends_it_in_good_order(ended: Ended) -> None:
    assert ended.status == 0, ended.output
    assert ended.left == []
    assert "Stopping" in ended.output
    assert "Traceback" not in ended.output
    # Whoever waits for this file must not find that of a run that is over.
    assert not {"exchange-url", "kubeconfig", "ca.crt"} & ended.files


@pytest.mark.usefixtures("ended")
def test_another_place_for_the_same_folder_is_refused_with_what_to_do(folder: Path, listen: str) -> None:
    elsewhere = f"127.0.0.1:{free_ports(1)[0]}"

    done = _up(folder / "data", elsewhere)

    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"error: the existing tokens were issued by https://{listen}")
    assert f"start with --listen {listen}, or with another --data-dir" in said


# It runs again.


def test_all_is_there_again_after_a_restart_and_nothing_was_written(trust: Trust, second_run: UpProcess) -> None:
    second_run.apply("sentinel")  # whatever is to be written at a start is written before this is issued

    stored = second_run.kubectl("get", "ptok,mtok,secrets", *STORED)

    assert [line for line in stored.splitlines() if "sentinel" not in line] == trust.stored.splitlines()
    assert second_run.curl("/.well-known/jwks.json")[1] == trust.keys


def test_tokens_of_the_first_run_are_good_in_the_second(trust: Trust, second_run: UpProcess, tmp_path: Path) -> None:
    described = _active(second_run, trust.master_file, second_run.bearer())

    status, _ = second_run.redeem(second_run.token_into(tmp_path / "token", "unused"))

    assert described is not None
    assert described["jti"] == trust.answer["token_id"]
    assert status == 200


def test_parts_that_are_killed_are_started_again_and_go_on(second_run: UpProcess) -> None:
    before = {part: _processes_of(second_run, part) for part in ("controller", "exchange")}
    for (pid,) in before.values():
        os.kill(pid, signal.SIGKILL)
    lease = LEASE["metadata"]
    second_run.kubectl("delete", "lease", lease["name"], f"--namespace={lease['namespace']}")  # to save the wait for it

    for part, old in before.items():
        second_run.await_line(f"{part} ended with status -9; restarting it")
        poll(partial(_is_another, second_run, part, old))

    poll(lambda: _ready_again(second_run))
    second_run.apply("after")


def _is_another(run: UpProcess, part: str, old: list[int]) -> bool:
    return _processes_of(run, part) not in ([], old)


def _processes_of(run: UpProcess, part: str) -> list[int]:
    return [pid for pid, command in run.descendants() if f" tallystick {part} " in command]


def _ready_again(run: UpProcess) -> bool:
    try:
        return run.curl("/.well-known/jwks.json")[0] == 200
    except (AssertionError, FileNotFoundError):  # curl found nobody there, or it is not announced yet
        return False


# It is killed.


def test_kill_9_leaves_no_process_behind(second_run: UpProcess) -> None:
    processes = second_run.descendants()

    second_run.kill()

    assert {"etcd", "kube-apiserver", "kube-controller-manager"} <= {_program(command) for _, command in processes}
    assert len(processes) == 5
    poll(lambda: still_running(processes) == [])


def _program(command: str) -> str:
    return Path(command.split(" ", 1)[0]).name
