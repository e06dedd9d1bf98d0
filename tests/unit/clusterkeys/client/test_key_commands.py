"""`tallystick keys` prints fingerprints, opens sealed keys into new files, and ends a refusal in one line."""

import io
import os
import secrets
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick.cli.main import main
from tallystick.clusterkeys.domain.keys import ClusterKey
from tallystick.clusterkeys.domain.sealing import SealedFor, seal
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key

Run = Callable[..., tuple[int, str, str]]
ABOUT = SealedFor("JoinKey", "edge", "jpd-1", "5d3c5a0e-0000-4000-8000-000000000000", 3)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `tallystick keys` in this process, in a folder of its own; return status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tallystick", "keys", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a join key, its master key, another one, and the sealed key."""
    (tmp_path / "join").write_text(a_join_key().to_hex())
    (tmp_path / "master").write_text(f"{a_master_key().to_hex().upper()}\n")
    (tmp_path / "other").write_text(a_master_key("second").to_hex())
    (tmp_path / "sealed").write_text(f"{a_sealed(a_join_key(), a_master_key())}\n")
    return tmp_path


def a_sealed(join: ClusterKey, master: ClusterKey) -> str:
    return seal(join, master, ABOUT, secrets.token_bytes)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("kind", "file", "fingerprint"),
    [("join", "join", a_join_key().fingerprint), ("master", "master", a_master_key().fingerprint)],
)
def test_the_fingerprint_of_a_file_is_printed(run: Run, kind: str, file: str, fingerprint: str) -> None:
    assert run("fingerprint", "--kind", kind, file) == (0, f"{fingerprint}\n", "")


def test_the_fingerprint_of_standard_input_is_printed(run: Run) -> None:
    text = f"{a_join_key(bits=128).to_hex()}\n".encode()

    assert run("fingerprint", "--kind", "join", "-", stdin=text) == (0, f"{a_join_key(bits=128).fingerprint}\n", "")


def test_a_sealed_key_is_opened_into_a_new_file_of_mode_0600(run: Run, files: Path) -> None:
    before = os.umask(0)
    try:
        ended = run("open", "sealed", "--master-key", "master", "--out", "key")
    finally:
        os.umask(before)

    told = f"join key {a_join_key().fingerprint} of JoinKey edge/jpd-1 (version 3) is stored in key\n"
    assert ended == (0, told, "")
    assert (files / "key").read_text() == a_join_key().to_hex()
    assert stat.S_IMODE((files / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("standard", ["sealed", "master"])
def test_either_file_may_be_standard_input(run: Run, files: Path, standard: str) -> None:
    names = {"sealed": "sealed", "master": "master", standard: "-"}
    text = (files / standard).read_bytes()

    status, _, _ = run("open", names["sealed"], "--master-key", names["master"], "--out", "key", stdin=text)

    assert (status, (files / "key").read_text()) == (0, a_join_key().to_hex())


def test_another_master_key_is_refused_and_both_are_named(run: Run, files: Path) -> None:
    status, out, err = run("open", "sealed", "--master-key", "other", "--out", "key")

    ours, theirs = a_master_key().fingerprint, a_master_key("second").fingerprint
    assert (status, out) == (1, "")
    assert err == (
        f"error: encrypted join key was made with master key {ours}, this service has {theirs}; "
        "set --master-key to the file of that key\n"
    )
    assert not (files / "key").exists()


def test_an_existing_file_is_not_overwritten(run: Run, files: Path) -> None:
    (files / "key").write_text("mine")

    status, _, err = run("open", "sealed", "--master-key", "master", "--out", "key")

    assert (status, err) == (1, "error: --out key already exists; nothing was written; set the path of a new file\n")
    assert (files / "key").read_text() == "mine"


def test_a_link_is_not_followed_to_a_new_file(run: Run, files: Path) -> None:
    (files / "key").symlink_to(files / "elsewhere")

    status, _, err = run("open", "sealed", "--master-key", "master", "--out", "key")

    assert (status, "already exists" in err) == (1, True)
    assert not (files / "elsewhere").exists()


def test_a_write_that_fails_leaves_no_file(run: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)

    status, _, err = run("open", "sealed", "--master-key", "master", "--out", "key")

    assert (status, err) == (1, "error: --out key cannot be written: No space left on device; set another file\n")
    assert not (files / "key").exists()


def changed(text: str) -> str:
    place = text.rindex(".") - 5
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]


FORM = "must be 32 or 64 hexadecimal characters (AES-128 or AES-256)"
AT_1 = "contains a non-hexadecimal character at position 1"
WEAK = "is not random: it repeats itself, counts, or stands in a manual; make one with openssl rand -hex 32"
GIVE = "give the decoded value of data key join-key.jwe"
MISSING = "absent cannot be read: No such file or directory; give another file"
REFUSALS = {
    "fingerprint --kind join absent": MISSING,
    "fingerprint --kind join .": ". cannot be read: Is a directory; give another file",
    "fingerprint --kind join bad": f"bad {FORM}; {AT_1}",
    "fingerprint --kind master weak": f"weak {WEAK}",
    "fingerprint --kind master -": f"standard input {FORM}; got 0 characters",
    "open absent --master-key master --out key": MISSING,
    "open join --master-key master --out key": (
        f"join cannot be opened: not the compact form of a sealed join key; {GIVE}"
    ),
    "open changed --master-key master --out key": f"changed cannot be opened: it was changed; {GIVE}",
    "open sealed --master-key bad --out key": f"bad {FORM}; {AT_1}",
    "open sealed --master-key master --out absent/key": (
        "--out absent/key cannot be created: No such file or directory; set another file"
    ),
}


@pytest.mark.parametrize("arguments", REFUSALS)
def test_a_refusal_is_one_line_without_a_key(run: Run, files: Path, arguments: str) -> None:
    (files / "bad").write_text("z" * 32)
    (files / "weak").write_text("deadbeef" * 8)
    (files / "changed").write_text(changed((files / "sealed").read_text().strip()))

    assert run(*arguments.split()) == (1, "", f"error: {REFUSALS[arguments]}\n")
    assert not (files / "key").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["open", "-", "--master-key", "-", "--out", "key"],
        ["open", "sealed", "--out", "key"],
        ["fingerprint", "join"],
        ["fingerprint", "--kind", "other", "join"],
    ],
)
def test_a_command_line_that_names_too_little_ends_with_2(run: Run, files: Path, arguments: list[str]) -> None:
    status, out, _ = run(*arguments)

    assert (status, out, (files / "key").exists()) == (2, "", False)
