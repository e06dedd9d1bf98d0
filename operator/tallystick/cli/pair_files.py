"""The files of `tallystick pair`: a pairing token to read, a key to keep, a master token to write."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tallystick.crypto.keys import InvalidKeyError, SigningKey
from tallystick.crypto.tokens import MAX_TOKEN_LENGTH
from tallystick.domain.errors import TallystickError

STANDARD = "-"


class PairError(TallystickError):
    """Pairing cannot go on. The text says why and what to do, and holds no token."""


def read_token(token_file: str) -> str:
    """Return the pairing token of a file, or of standard input for `-`. One newline at its end is dropped."""
    where = "standard input" if token_file == STANDARD else token_file
    try:
        raw = _read(token_file, MAX_TOKEN_LENGTH + 2)
        token = raw.decode("ascii")
    except OSError as error:
        raise PairError(f"--token-file {where} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # The cause is cut off: it quotes what it could not decode.
        raise PairError(f"{where} does not hold a token: it is not text") from None
    token = token.removesuffix("\n").removesuffix("\r")
    if not token or len(token) > MAX_TOKEN_LENGTH:
        raise PairError(f"{where} does not hold a token: it is empty or too long")
    return token


def held_key(path: Path) -> SigningKey:
    """Return the P-256 key of a file, which is made (mode 0600) if it is not there.

    The key outlives the request: with it, a pairing whose answer was lost can be asked for again.
    """
    try:
        pem = path.read_bytes()
    except FileNotFoundError:
        return _new_key(path)
    except OSError as error:
        raise PairError(f"--key-file {path} cannot be read: {error.strerror}") from error
    try:
        key = SigningKey.from_pem(pem)
    except InvalidKeyError as problem:
        raise PairError(f"--key-file {path} cannot be used: {problem}; name another file to make a key") from None
    if key.alg != "ES256":
        raise PairError(f"--key-file {path} must hold a P-256 key; name another file to make one")
    return key


@contextmanager
def master_token_place(path: Path, *, force: bool) -> Iterator[Callable[[str], None]]:
    """Prepare a file for the master token, and give what writes it.

    All that can fail is tried before the pairing token is spent; a reader sees the whole file or none.
    """
    if path.exists() and not force:
        raise PairError(f"--out {path} exists and is not overwritten; name another file, or add --force")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = _create(draft)
    except OSError as error:
        raise PairError(f"--out {path} cannot be written: {error.strerror}") from error
    written = False

    def write(token: str) -> None:
        nonlocal written
        written = True
        # No newline at the end: the file is sent and mounted as it is.
        _fill(descriptor, token.encode("ascii"))
        _publish(draft, path, force=force)

    try:
        yield write
    finally:
        if not written:
            os.close(descriptor)
            draft.unlink(missing_ok=True)


def _read(token_file: str, limit: int) -> bytes:
    if token_file == STANDARD:
        return sys.stdin.buffer.read(limit)
    with Path(token_file).open("rb") as stream:
        return stream.read(limit)


def _new_key(path: Path) -> SigningKey:
    key = SigningKey.generate("ES256")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _fill(_create(draft), key.to_pem())
        _publish(draft, path, force=False)
    except OSError as error:
        raise PairError(f"--key-file {path} cannot be written: {error.strerror}") from error
    return key


def _create(path: Path) -> int:
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _fill(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _publish(draft: Path, path: Path, *, force: bool) -> None:
    """Give the finished file its name; without `force`, never in place of another."""
    if force:
        draft.replace(path)
        return
    try:
        os.link(draft, path)
    except OSError as error:
        raise PairError(f"{path} could not be made ({error.strerror}); the content is in {draft}") from error
    draft.unlink()
