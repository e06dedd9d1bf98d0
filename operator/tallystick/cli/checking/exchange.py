"""Look at an exchange as its clients do: its certificate, the issuer in its metadata, and its public keys."""

import http.client
import json
import ssl
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from tallystick.errors import InvalidSettingError, TallystickError
from tallystick.exchange.metadata import JWKS, OPENID_DISCOVERY
from tallystick.runtime.renewed_files import reason_of

SECONDS = 10.0
LONGEST_NOTICE = timedelta(days=7)
MOST_BYTES = 1024 * 1024


class ExchangeProblemError(TallystickError):
    """The exchange cannot be used as it is. The text has the reason and the next action."""


@dataclass(frozen=True, slots=True)
class SeenExchange:
    """The facts that an exchange publishes.

    Attributes:
        issuer: The issuer in its metadata.
        keys: The number of its public keys.
        issued: The begin of its certificate.
        expires: The end of its certificate.
    """

    issuer: str
    keys: int
    issued: datetime
    expires: datetime

    def ends_soon(self, now: datetime) -> bool:
        """Return whether the certificate should have been renewed: a sixth of its lifetime is left, or 7 days.

        The controller and cert-manager renew a certificate when a third of its lifetime is left.
        """
        return self.expires - now < min(LONGEST_NOTICE, (self.expires - self.issued) / 6)


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return a TLS context with this CA, or with those of the system; raises InvalidSettingError."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    except (OSError, ValueError) as error:
        raise InvalidSettingError(
            f"--ca-file {ca_file} cannot be used ({reason_of(error)}); set a PEM file with the CA of the exchange"
        ) from error


def look_at(url: str, context: ssl.SSLContext) -> SeenExchange:
    """Read what an exchange publishes under a URL.

    Raises:
        ExchangeProblemError: It does not respond, its certificate is not trusted, or it has no signing keys.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=SECONDS, context=context)
    with closing(connection):
        try:
            connection.connect()
            certificate = _certificate(connection)
            # Both are served below the path of an issuer, which the metadata of RFC 8414 are not.
            metadata = _json(connection, parts.path + OPENID_DISCOVERY.path)
            keys = _json(connection, parts.path + JWKS.path)
            begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            return SeenExchange(str(metadata["issuer"]), len(keys["keys"]), begin, end)
        except ssl.SSLCertVerificationError as error:
            raise ExchangeProblemError(
                f"its certificate is not trusted ({error.verify_message}); set --ca-file to the CA of the exchange, "
                "and --public-urls to hosts that the certificate names"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ExchangeProblemError(
                f"no response ({reason_of(error)}); check the Service, and set --public-urls to URLs that this machine "
                "reaches"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ExchangeProblemError("the response is not that of an exchange; set --public-urls") from error


def _certificate(connection: http.client.HTTPSConnection) -> x509.Certificate:
    der: Any = connection.sock.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der)


def _json(connection: http.client.HTTPSConnection, path: str) -> dict[str, Any]:
    connection.request("GET", path, headers={"Accept": "application/json"})
    response = connection.getresponse()
    body = json.loads(response.read(MOST_BYTES))
    if response.status != http.client.OK:
        text = body.get("error_description", "") if isinstance(body, dict) else ""
        raise ExchangeProblemError(f"it cannot serve now (HTTP status {response.status}): {text}")
    return dict(body)
