"""`tallystick keys`: the fingerprint of a key, and the join key in a sealed text.

No output or error contains a key or a part of one.
"""

import sys
from pathlib import Path
from typing import Literal

import typer

from tallystick.clusterkeys.domain.keys import ClusterKey, KeyProblem, Purpose, parse_key
from tallystick.clusterkeys.domain.sealing import SealProblem, open_sealed, read_sealed
from tallystick.errors import TallystickError
from tallystick.runtime.files import write_new_file

STANDARD = Path("-")
_LONGEST = 64 * 1024
_PURPOSES = {"join": Purpose.JOIN, "master": Purpose.MASTER}


class KeyFileError(TallystickError):
    """A file cannot be used. The text names it, and contains no part of its content."""


def print_fingerprint(file: Path, kind: Literal["join", "master"]) -> None:
    """Print the fingerprint of the key in a file; raises KeyFileError."""
    print(_key_in(file, _PURPOSES[kind]).fingerprint)


def open_into(sealed: Path, *, master_key: Path, out: Path) -> None:
    """Open the sealed join key in a file, and store the join key in a new file; raises KeyFileError."""
    if sealed == master_key == STANDARD:
        raise typer.BadParameter("SEALED and --master-key cannot both be standard input")
    master = _key_in(master_key, Purpose.MASTER)
    text = _read(sealed).decode("latin-1").removesuffix("\n").removesuffix("\r")
    unverified = read_sealed(text)
    if isinstance(unverified, SealProblem):
        raise _refusal(sealed, unverified)
    about = unverified.about
    # The owner of the master key may open a key of any object, so this one is only printed.
    key = open_sealed(text, [master], about)
    if isinstance(key, SealProblem):
        raise _refusal(sealed, key)
    write_new_file("--out", out, key.to_hex(), error=KeyFileError)
    owner = f"{about.kind} {about.namespace}/{about.name}"
    print(f"join key {key.fingerprint} of {owner} (version {about.version}) is stored in {out}")


def _refusal(sealed: Path, problem: SealProblem) -> KeyFileError:
    if problem.reason == "MasterKeyMismatch":
        return KeyFileError(f"{problem.text}; set --master-key to the file of that key")
    advice = "give the decoded value of data key join-key.jwe"
    return KeyFileError(f"{_named(sealed)} cannot be opened: {problem.text}; {advice}")


def _key_in(file: Path, purpose: Purpose) -> ClusterKey:
    key = parse_key(purpose, _read(file))
    if isinstance(key, KeyProblem):
        raise KeyFileError(f"{_named(file)} {key.text}")
    return key


def _read(file: Path) -> bytes:
    try:
        if file != STANDARD:
            with file.open("rb") as stream:
                return stream.read(_LONGEST)
        if sys.stdin is None:
            raise KeyFileError("standard input is closed; give a file")
        return sys.stdin.buffer.read(_LONGEST)
    except OSError as error:
        raise KeyFileError(f"{_named(file)} cannot be read: {error.strerror}; give another file") from error


def _named(file: Path) -> str:
    return "standard input" if file == STANDARD else str(file)
