"""TLS of clients: as strict as curl and kubectl, and for each failure a reason and the next action."""

import contextlib
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Codes of X509_verify_cert (OpenSSL, x509_vfy.h).
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED, _UNKNOWN_CA = frozenset({18}), frozenset({2, 19, 20, 21})
_OTHER_NAME = frozenset({62, 63, 64})
_WRONG_PURPOSE = frozenset({24, 25, 26, 32, 34, 37, 39, 40, 41, *range(79, 94)})
_TOO_WEAK = frozenset({66, 67, 68})
_REVOKED = 23

# Reasons of OpenSSL for a failed handshake.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
_OLD_TLS = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"})
_NO_CLIENT_CERTIFICATE = frozenset(
    {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)


class _NamedContext(ssl.SSLContext):
    """A context that expects one name of the server, regardless of the address."""

    server_name = ""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002, RUF100 - the signature of the standard library
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Wrap the streams of a connection."""
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name or server_hostname, session)


def client_context(
    *, ca_file: Path | None = None, ca_pem: str = "", server_name: str = "", verified: bool = True
) -> ssl.SSLContext:
    """Return the TLS context of a client.

    Args:
        ca_file: The trusted CAs (PEM). Without `ca_file` and `ca_pem`, the CAs of the system.
        ca_pem: The same as a text.
        server_name: The name in the server's certificate. Default: the host of the URL.
        verified: Whether the certificate of the server must be trusted.

    Raises:
        OSError: The CAs cannot be read, or are not PEM.
    """
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = server_name
    # curl and Go trust a private CA without key identifiers, which VERIFY_X509_STRICT rejects: the default of Python
    # 3.13. They also trust an intermediate CA that the user gives.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file is not None or ca_pem:
        context.load_verify_locations(cafile=ca_file, cadata=ca_pem or None)
    else:
        context.load_default_certs()
    return context


def load_client_certificate(context: ssl.SSLContext, certificate: Path | bytes, key: Path | bytes) -> None:
    """Load a client certificate and its key, each from a file or as PEM.

    Raises:
        OSError: One cannot be read or parsed, or they do not match.
    """
    with _as_file(certificate) as certificate_file, _as_file(key) as key_file:
        # Without a password, OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate_file, key_file, password=lambda: "")


@contextlib.contextmanager
def _as_file(pem: Path | bytes) -> Iterator[Path]:
    if isinstance(pem, Path):
        yield pem
        return
    with tempfile.NamedTemporaryFile(prefix="tallystick-", buffering=0) as file:  # mode 0600
        file.write(pem)
        yield Path(file.name)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The settings that a user can change, by their names.

    Args:
        address: The setting with the address of the server.
        ca: The setting with the CA.
        ca_given: Whether the user has set the CA.
        ca_hint: Where the CA can be found. Default: no hint.
    """

    address: str
    ca: str
    ca_given: bool
    ca_hint: str = ""


def tls_problem(error: BaseException, settings: TlsSettings, peer: str) -> str:
    """Return the reason of a failed TLS connection to a peer, and the next action."""
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        action = _certificate_action(cause.verify_code, settings)
        return f"cannot verify the TLS certificate of {peer} ({cause.verify_message}); {action}"
    reason = getattr(cause, "reason", None) or type(error).__name__
    return f"no TLS connection to {peer} ({reason}); {_handshake_action(reason, settings)}"


def _cause(error: BaseException) -> BaseException:
    """Return the error of `ssl` inside an error of aiohttp."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error.__cause__
    return inner if isinstance(inner, ssl.SSLError) else error


def is_tls_problem(error: BaseException) -> bool:
    """Return whether a connection failed because of TLS."""
    return isinstance(_cause(error), ssl.SSLError)


def _certificate_action(code: int, settings: TlsSettings) -> str:
    ca, hint = settings.ca, f": {settings.ca_hint}" if settings.ca_hint else ""
    if code == _NOT_YET_VALID:
        return "check the clock of this machine"
    if code == _EXPIRED:
        return "renew the certificate of the server and of its CA, or check the clock of this machine"
    if code in _OTHER_NAME:
        return f"set {settings.address} to a name in the certificate, or add this name to the certificate"
    if code in _SELF_SIGNED and not settings.ca_given:
        return f"set {ca} to this certificate or to its CA{hint}"
    if code in _UNKNOWN_CA | _SELF_SIGNED:
        other = f"{ca} does not have the CA of this server; set it" if settings.ca_given else f"set {ca}"
        return f"{other} to the CA that issued the certificate{hint}"
    if code in _WRONG_PURPOSE:
        return (
            "issue the certificates again: the CA with basic constraint CA and key usage keyCertSign, "
            "the server's with extended key usage serverAuth"
        )
    if code in _TOO_WEAK:
        return "issue the certificate again, with a key of at least 2048 bits (RSA) and SHA-256"
    if code == _REVOKED:
        return "renew the certificate of the server"
    return f"check the certificate of the server, and its CA in {ca}"


def _handshake_action(reason: str, settings: TlsSettings) -> str:
    if reason in _NO_TLS:
        return f"the server does not use TLS at this port; check {settings.address}"
    if reason in _OLD_TLS:
        return "update the server to TLS 1.2 or later"
    if reason in _NO_CLIENT_CERTIFICATE:
        return "the server does not accept the client certificate, or requires one"
    return f"check that {settings.address} is the address of the server"
