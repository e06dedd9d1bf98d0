"""The join key of a mounted Secret. A replaced key is used as soon as kubelet has written it.

Mount the Secret as a folder: a container with `subPath`, or with the key in its environment, keeps the old key.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tallystick.clusterkeys.client.service_tokens import Membership, sign, verify
from tallystick.clusterkeys.domain.keys import ClusterKey, KeyProblem, Purpose, parse_key
from tallystick.crypto.profiles import object_name
from tallystick.errors import TallystickError

DEFAULT_LIFETIME = 300
# The link that kubelet swaps when it has written all files of a Secret again.
_CURRENT = "..data"
_LONGEST_FILE = 64 * 1024
_MOST_ATTEMPTS = 10


class JoinKeyFilesError(TallystickError):
    """The folder does not hold a join key. The text names the file and the next action, and contains no key."""


class JoinKeys:
    """The join key in a folder, read again whenever it changed. Its methods may be called by several threads."""

    def __init__(
        self,
        folder: str | Path,
        *,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], object] = uuid.uuid4,
    ) -> None:
        """Read no file yet.

        Args:
            folder: The mounted Secret `NAME-join-key`.
            now: Returns the time, in seconds since 1970.
            new_id: Returns a `jti` that no other token has.
        """
        self._folder = Path(folder)
        self._now = now
        self._new_id = new_id
        self._read: tuple[str, Membership] | None = None

    def sign(self, service: str, claims: Mapping[str, Any] | None = None, *, lifetime: int = DEFAULT_LIFETIME) -> str:
        """Sign a token of this service for the other services of the cluster.

        `lifetime` is 1 to 3600 seconds. Raises UnsignableTokenError or JoinKeyFilesError.
        """
        membership = self.membership()
        return sign(
            membership, service, claims or {}, now=self._time(), lifetime=lifetime, token_id=str(self._new_id())
        )

    def verify(self, unverified_token: str) -> dict[str, Any]:
        """Verify a token of another service and return its claims.

        Raises JoinKeyMismatchError, InvalidServiceTokenError or JoinKeyFilesError.
        """
        return verify(unverified_token, self.membership(), now=self._time())

    def membership(self) -> Membership:
        """Return the keys, the cluster and the services as they are now. Raises JoinKeyFilesError."""
        for _ in range(_MOST_ATTEMPTS):
            version = self._version()
            held = self._read
            if version and held is not None and held[0] == version:
                return held[1]
            try:
                membership = _read(self._folder / version, self._folder)
            except JoinKeyFilesError:
                if self._version() == version:
                    raise
                continue  # kubelet removed the files while they were being read
            if self._version() == version:
                self._read = (version, membership)
                return membership
        raise JoinKeyFilesError(f"{self._folder} changes all the time; mount the Secret of one JoinKey there")

    def _version(self) -> str:
        """Return the name of the folder with the current files; '' if this is not a mounted Secret."""
        try:
            return str((self._folder / _CURRENT).readlink())
        except OSError:
            return ""

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


def _read(current: Path, folder: Path) -> Membership:
    cluster = _required(current, folder, "cluster-name").decode("latin-1").strip()
    if not object_name(cluster):
        raise JoinKeyFilesError(f"{folder}/cluster-name is not the name of a JoinKey; mount the Secret of one there")
    services = (_content(current, folder, "services") or b"").decode("latin-1")
    accepted = _content(current, folder, "join-key-accepted")
    return Membership(
        signing=_key(_required(current, folder, "join-key"), f"{folder}/join-key"),
        accepted=_key(accepted, f"{folder}/join-key-accepted") if accepted is not None else None,
        cluster=cluster,
        services=frozenset(filter(None, (one.strip() for one in services.split(",")))),
    )


def _key(content: bytes, where: str) -> ClusterKey:
    key = parse_key(Purpose.JOIN, content)
    if isinstance(key, KeyProblem):
        raise JoinKeyFilesError(f"{where} {key.text}")
    return key


def _required(current: Path, folder: Path, name: str) -> bytes:
    content = _content(current, folder, name)
    if content is None:
        raise JoinKeyFilesError(f"{folder}/{name} does not exist; mount the Secret of the JoinKey as this folder")
    return content


def _content(current: Path, folder: Path, name: str) -> bytes | None:
    try:
        with (current / name).open("rb") as stream:
            return stream.read(_LONGEST_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        advice = "mount the Secret with defaultMode 0400, and with fsGroup if the service is not root"
        raise JoinKeyFilesError(f"{folder}/{name} cannot be read: {error.strerror}; {advice}") from error
