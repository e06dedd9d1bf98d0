"""The credentials of a kubeconfig user: a fixed `Authorization` header, or those that a plugin returns."""

import base64
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tallystick.kube.exec_plugin import PluginCredentials, find_plugin, run_plugin
from tallystick.kube.kubeconfig_entries import Cluster, KubeconfigError, User
from tallystick.kube.tls import load_client_certificate

# Seconds after which a plugin runs again because of a 401. Without that limit, each request would start it.
SECONDS_BETWEEN_RUNS = 10.0


class Credentials(Protocol):
    """The identity that a session presents, beside a client certificate in its TLS context."""

    @property
    def is_fresh(self) -> bool:
        """Whether `authorization` returns at once."""
        ...

    def authorization(self) -> str | None:
        """Return the header `Authorization`, or None. Can block; raises KubeconfigError."""
        ...

    def reject(self) -> None:
        """Note that the API server returned 401."""
        ...


class FixedCredentials:
    """A token, the content of a token file, a user name with password, or none."""

    is_fresh = True

    def __init__(self, header: str | None) -> None:
        self._header = header

    def authorization(self) -> str | None:
        """Return the header."""
        return self._header

    def reject(self) -> None:
        """Change nothing: the connection reads the files again."""


class ExecCredentials:
    """The credentials of a plugin, until they expire or are rejected."""

    def __init__(
        self,
        user: User,
        cluster: Cluster,
        context: ssl.SSLContext,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        if user.exec is None:
            raise ValueError("the user has no plugin")
        find_plugin(user.exec)
        self.plugin = user.exec
        self._cluster, self._context, self._now, self._seconds = cluster, context, now, seconds
        self._current: PluginCredentials | None = None
        self._header: str | None = None
        self._ran_at = -SECONDS_BETWEEN_RUNS
        self._lock = threading.Lock()

    @property
    def is_fresh(self) -> bool:
        """Whether the plugin has returned credentials that have not expired."""
        current = self._current
        return current is not None and (current.expiry is None or self._now() < current.expiry)

    def authorization(self) -> str | None:
        """Return the header, and run the plugin first if there is no valid one."""
        with self._lock:
            if not self.is_fresh:
                self._current = self._run()
            return self._header

    def _run(self) -> PluginCredentials:
        returned = run_plugin(self.plugin, self._cluster)
        self._ran_at = self._seconds()
        if returned.certificate:
            try:
                load_client_certificate(self._context, returned.certificate.encode(), returned.key.encode())
            except OSError as error:
                raise KubeconfigError(
                    f"exec plugin {self.plugin.command} returned a certificate that cannot be used: {_why(error)}"
                ) from None
        self._header = (
            bearer(returned.token, f"the token of exec plugin {self.plugin.command}") if returned.token else None
        )
        return returned

    def reject(self) -> None:
        """Run the plugin before the next request."""
        if self._seconds() - self._ran_at >= SECONDS_BETWEEN_RUNS:
            self._current = None


def fixed_header(user: User) -> str | None:
    """Return the header `Authorization` of a user without a plugin. A token file has precedence over a token.

    Raises:
        KubeconfigError: The token file cannot be read, or the token is not one.
    """
    if user.token_file:
        try:
            content = Path(user.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            content, problem = "", _why(error)
        else:
            problem = "it is empty"
        if content:
            return bearer(content, f"tokenFile {user.token_file}")
        if not user.token:
            raise KubeconfigError(f"tokenFile {user.token_file} cannot be used: {problem}")
    if user.token:
        return bearer(user.token, "token")
    if user.username:
        pair = f"{user.username}:{user.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"
    return None


def bearer(token: str, name: str) -> str:
    """Return the header for a token.

    Raises:
        KubeconfigError: It has characters that no header can have. The text has its name only.
    """
    if not token.isascii() or not token.isprintable():
        raise KubeconfigError(f"{name} has line breaks or characters that are not ASCII; set it again")
    return f"Bearer {token}"


def load_certificate_of(user: User, context: ssl.SSLContext) -> None:
    """Load the client certificate of a user into a TLS context, if the user has one.

    Raises:
        KubeconfigError: It cannot be used.
    """
    if not user.has_certificate:
        return
    certificate = user.client_certificate_data or Path(user.client_certificate)
    key = user.client_key_data or Path(user.client_key)
    for name, path in (("client-certificate", certificate), ("client-key", key)):
        if isinstance(path, Path) and not path.is_file():
            raise KubeconfigError(f"{name} {path} does not exist or is not a file")
    try:
        load_client_certificate(context, certificate, key)
    except OSError as error:
        raise KubeconfigError(f"client-certificate and client-key cannot be used: {_why(error)}") from None


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "they are not PEM"
    return (error.strerror or "it cannot be read") if isinstance(error, OSError) else "it is not text"
