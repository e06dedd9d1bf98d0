"""Look at an exchange as its clients do: its certificate, the issuer in its metadata, and its public keys."""

import http.client
import json
import ssl
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from tallystick.errors import InvalidSettingError, TallystickError
from tallystick.exchange.metadata import JWKS, OPENID_DISCOVERY
from tallystick.runtime.renewed_files import reason_of

SECONDS = 10.0
MOST_BYTES = 1024 * 1024


class ExchangeProblemError(TallystickError):
    """The exchange cannot be used as it is. The text has the reason and the next action."""


@dataclass(frozen=True, slots=True)
class SeenExchange:
    """The facts that an exchange publishes.

    Attributes:
        issuer: The issuer in its metadata.
        keys: The number of its public keys.
        expires: The end of its certificate.
    """

    issuer: str
    keys: int
    expires: datetime


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
            expires = _expiry(connection)
            # Both are served below the path of an issuer, which the metadata of RFC 8414 are not.
            metadata = _json(connection, parts.path + OPENID_DISCOVERY.path)
            keys = _json(connection, parts.path + JWKS.path)
            return SeenExchange(str(metadata["issuer"]), len(keys["keys"]), expires)
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


def _expiry(connection: http.client.HTTPSConnection) -> datetime:
    der: Any = connection.sock.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der).not_valid_after_utc


def _json(connection: http.client.HTTPSConnection, path: str) -> dict[str, Any]:
    connection.request("GET", path, headers={"Accept": "application/json"})
    response = connection.getresponse()
    body = json.loads(response.read(MOST_BYTES))
    if response.status != http.client.OK:
        text = body.get("error_description", "") if isinstance(body, dict) else ""
        raise ExchangeProblemError(f"it cannot serve now (HTTP status {response.status}): {text}")
    return dict(body)
