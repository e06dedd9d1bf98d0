"""The exchange's certificate: loaded at start, and again whenever its files change, without dropping a connection."""

import asyncio
import ssl
from pathlib import Path

import structlog

from tallystick.domain.errors import InvalidSettingError

log = structlog.get_logger("tallystick.web")

POLL_SECONDS = 5.0

_Signature = tuple[tuple[int, int, int], ...]


class ServerCertificate:
    """A certificate and its key, in files that somebody else renews (cert-manager, a Secret's volume, a person).

    Attributes:
        context: What the server listens with. It stays the same object: handshakes that begin after a reload get
            the new certificate, connections that are open keep the old one.
    """

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        """Load the pair; raises InvalidSettingError where it cannot be used."""
        self._cert_file = cert_file
        self._key_file = key_file
        try:
            self._signature = self._files()
            self.context = self._fresh_context()
        except (OSError, ValueError) as error:
            raise InvalidSettingError(
                f"the certificate {cert_file} with the key {key_file} cannot be loaded ({_words(error)}); "
                "both must be PEM, belong together, and the key must not be encrypted"
            ) from error

    def reload_if_changed(self) -> bool:
        """Take over changed files and return whether that happened. A pair that is broken is not taken."""
        try:
            signature = self._files()
            if signature == self._signature:
                return False
            # A trial in a context of its own: a half-loaded pair in the live one would end every handshake.
            self._fresh_context()
            if self._files() != signature:
                return False  # being written right now; the next look tells
            self._load_into(self.context)
        except (OSError, ValueError) as error:
            log.warning(
                "certificate not reloaded, the old one stays in use", file=str(self._cert_file), reason=_words(error)
            )
            return False
        self._signature = signature
        log.info("certificate reloaded", file=str(self._cert_file))
        return True

    async def watch(self, poll_seconds: float = POLL_SECONDS) -> None:
        """Look at the files again and again, until cancelled."""
        while True:
            await asyncio.sleep(poll_seconds)
            self.reload_if_changed()

    def _files(self) -> _Signature:
        # `stat` follows links: kubelet swaps a link when it renews a mounted Secret.
        stats = (path.stat() for path in (self._cert_file, self._key_file))
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _fresh_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        self._load_into(context)
        return context

    def _load_into(self, context: ssl.SSLContext) -> None:
        # An empty password: OpenSSL would else ask for one at the terminal.
        context.load_cert_chain(self._cert_file, self._key_file, password="")


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or type(error).__name__)
