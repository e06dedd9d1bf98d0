"""Decide the next step for the two Secrets with the certificate of the exchange. Every function is pure.

One Secret holds a certificate authority (CA), which is made once: a client that stored its certificate trusts all later
ones. The other Secret holds the certificate that the exchange serves. A Secret that is not ours is never changed.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from tallystick.crypto.certificates import (
    CertifiedKey,
    is_authority,
    is_signed_by,
    names_of,
    read_certified_key,
    renewal_time,
)
from tallystick.objects.labels import MANAGED_BY, MANAGER, TLS_SERVICE_LABEL

Json = Mapping[str, Any]

SECRET_TYPE = "kubernetes.io/tls"  # noqa: S105 - a type
CERTIFICATE, KEY, CA = "tls.crt", "tls.key", "ca.crt"


@dataclass(frozen=True, slots=True)
class Names:
    """The Service of the exchange, its namespace, and the hosts of the public URLs."""

    service: str
    namespace: str
    hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, service: str, namespace: str, urls: Sequence[str]) -> "Names":
        """Return the names of a Service, and of the URLs under which clients also reach it."""
        return cls(service, namespace, tuple(map(_host, urls)))

    @property
    def authority_secret(self) -> str:
        """The name of the Secret with the CA and its key."""
        return f"{self.service}-ca"

    @property
    def serving_secret(self) -> str:
        """The name of the Secret with the certificate that the exchange serves."""
        return f"{self.service}-tls"

    @property
    def in_certificate(self) -> frozenset[str]:
        """The DNS names and IP addresses of the certificate."""
        local = f"{self.service}.{self.namespace}"
        return frozenset({self.service, local, f"{local}.svc", f"{local}.svc.cluster.local", *self.hosts})


@dataclass(frozen=True, slots=True)
class Foreign:
    """The Secret is not ours."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """The Secret is ours, and its data cannot be used."""

    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """The Secret is ours, and holds this pair, and this copy of the CA that signed it (b"" for none)."""

    pair: CertifiedKey
    ca_pem: bytes = b""


Secret = Foreign | Damaged | Held | None
"""The result of a look at a Secret. None: it does not exist."""


class Step(StrEnum):
    """The next step of the controller."""

    MAKE_AUTHORITY = auto()
    RENEW_AUTHORITY = auto()
    ISSUE_CERTIFICATE = auto()
    REST = auto()


@dataclass(frozen=True, slots=True)
class Stuck:
    """The controller can do nothing about this Secret. The text names it and the next action."""

    secret: str
    text: str


def next_step(authority: Secret, serving: Secret, names: Names, now: datetime) -> Step | Stuck:
    """Return the next step; `REST` if both Secrets are as they must be."""
    if isinstance(serving, Foreign):
        return _foreign(names, names.serving_secret)
    if not isinstance(authority, Held):
        return _without_authority(authority, serving, names)
    if now >= renewal_time(authority.pair.certificate):
        return Step.RENEW_AUTHORITY
    if isinstance(serving, Held) and _is_current(authority, serving, names, now):
        return Step.REST
    return Step.ISSUE_CERTIFICATE


def _without_authority(authority: Foreign | Damaged | None, serving: Secret, names: Names) -> Step | Stuck:
    name = names.authority_secret
    if isinstance(authority, Foreign):
        return _foreign(names, name)
    what = f"is damaged ({authority.reason})" if isinstance(authority, Damaged) else "is missing"
    if authority is None and serving is None:
        return Step.MAKE_AUTHORITY
    # Another CA would lock out each client that stored the certificate of this one.
    return Stuck(
        name,
        f"Secret {names.namespace}/{name} {what}, so the certificate of the exchange cannot be renewed. Restore the "
        f"Secret from a backup. Or delete it and Secret {names.namespace}/{names.serving_secret}: then the operator "
        "makes another CA, and all clients need its certificate",
    )


def _foreign(names: Names, name: str) -> Stuck:
    return Stuck(
        name,
        f"Secret {names.namespace}/{name} exists and the operator has not made it, so it is not changed. Delete it, or "
        "set another --tls-service. To use a certificate of your own, leave --tls-service out and set --ca-file",
    )


def _is_current(authority: Held, serving: Held, names: Names, now: datetime) -> bool:
    certificate, ca = serving.pair.certificate, authority.pair.certificate
    return (
        now < renewal_time(certificate)
        and names_of(certificate) == names.in_certificate
        and is_signed_by(certificate, ca)
        and serving.ca_pem == authority.pair.certificate_pem
    )


def found(body: Json | None, names: Names, *, of_authority: bool) -> Secret:
    """Read one of the two Secrets."""
    if body is None:
        return None
    labels = body["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != MANAGER or labels.get(TLS_SERVICE_LABEL) != names.service:
        return Foreign()
    try:
        data = {name: base64.b64decode(value or "", validate=True) for name, value in (body.get("data") or {}).items()}
        pair = read_certified_key(data.get(CERTIFICATE, b""), data.get(KEY, b""))
    except ValueError as problem:
        return Damaged(str(problem))
    if of_authority and not is_authority(pair.certificate):
        return Damaged("the certificate is not that of a CA")
    return Held(pair, _authority_of(pair, data.get(CA, b"")))


def _authority_of(pair: CertifiedKey, ca_pem: bytes) -> bytes:
    """Return the copy of the CA in a Secret; b"" if it is damaged, or is not the CA that has signed the certificate."""
    try:
        ca = x509.load_pem_x509_certificate(ca_pem)
    except ValueError:
        return b""
    return ca_pem if is_signed_by(pair.certificate, ca) else b""


def secret_of(pair: CertifiedKey, name: str, names: Names, *, ca_pem: bytes = b"") -> dict[str, Any]:
    """Return a new Secret that holds a pair."""
    data = {CERTIFICATE: pair.certificate_pem, KEY: pair.key_pem, **({CA: ca_pem} if ca_pem else {})}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": names.namespace,
            "labels": {MANAGED_BY: MANAGER, TLS_SERVICE_LABEL: names.service},
        },
        "type": SECRET_TYPE,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def _host(url: str) -> str:
    """Return the host of an https URL as a certificate has it."""
    host = urlsplit(url).hostname or ""
    try:
        return str(ip_address(host))
    except ValueError:
        return host
