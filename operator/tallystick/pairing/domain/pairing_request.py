"""A request for a pairing token over HTTP: who asks, for what, and the PairingToken that the exchange creates for it.

The exchange creates the object in the name of the caller, whose permissions it has asked for (docs/rules.md#s4). An
annotation marks the object, so that the controller can delete it if no client has used it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken, PairingTokenState, Purpose
from tallystick.pairing.domain.admin_token import ADMIN_ACCOUNT, ADMIN_REQUESTER
from tallystick.pairing.domain.requester_mode import RequesterMode
from tallystick.pairing.domain.use_cases import UseCases
from tallystick.schema.durations import parse_duration
from tallystick.schema.meta import API_VERSION, GROUP

Json = dict[str, Any]

MADE_BY = f"{GROUP}/made-by"
EXCHANGE_MADE_IT = "exchange"
"""The annotation of a PairingToken that the exchange has created, and its value. Only the exchange can set it."""
KEPT_UNUSED = timedelta(hours=1)
"""The time after its expiry for which such an object stays, if no client has redeemed its token."""
LONGEST_REQUESTER = 1024

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._~-]{1,63}")
_SHORTEST, _LONGEST = timedelta(seconds=10), timedelta(hours=24)
_LONGEST_TEXT = 16


@dataclass(frozen=True, slots=True)
class Requester:
    """An authenticated caller.

    Attributes:
        name: The name of the Kubernetes identity, or `bootstrap:admin` for the holder of the admin token.
        home: The namespace of its ServiceAccount; for the admin token, that of the operator. None for any other one.
        account: The name of its ServiceAccount; None for an identity that is none.
    """

    name: str
    home: str | None
    account: str | None

    @property
    def is_admin(self) -> bool:
        """Whether it is the holder of the admin token."""
        return self.name == ADMIN_REQUESTER


def admin_requester(namespace: str) -> Requester:
    """Return the holder of the admin token of an operator in this namespace (docs/rules.md#s27)."""
    return Requester(ADMIN_REQUESTER, namespace, ADMIN_ACCOUNT)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The token that a caller requests.

    Attributes:
        use_case: A use case of the table.
        namespace: The namespace of the PairingToken.
        ttl: The lifetime of the token, as a Go duration; None for the default.
    """

    use_case: str
    namespace: str
    ttl: str | None


@dataclass(frozen=True, slots=True)
class Denied:
    """The reason why a request is rejected: an error code, and a text for the caller."""

    code: str
    text: str


def use_case_denied(name: str, known: UseCases) -> Denied | None:
    """Return the denial of a use case that the table lacks. Only a plain name is repeated to the caller."""
    if known.get(name) is not None:
        return None
    which = f'use case "{name}"' if _PLAIN_NAME.fullmatch(name) else "this use case"
    return Denied("unknown_use_case", f"{which} is unknown to this service; known: {known.names}")


def wanted(use_case: str, body: Mapping[str, object], requester: Requester, mode: RequesterMode) -> Wanted | Denied:
    """Read the body of a request, and apply its defaults. Unknown members are ignored."""
    namespace, ttl = body.get("namespace", requester.home), body.get("ttl")
    if namespace is None:
        return Denied("invalid_request", "namespace is missing; only a ServiceAccount has a default, its own namespace")
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        return Denied("invalid_request", "namespace must be the name of a namespace")
    if ttl is not None and not _is_lifetime(ttl):
        return Denied("invalid_request", "ttl must be a duration between 10s and 24h, such as 5m")
    if requester.is_admin and namespace != requester.home:
        return Denied("forbidden", f"the admin token is valid only for namespace {requester.home}")
    if len(requester.name) > LONGEST_REQUESTER:
        return Denied("forbidden", f"the name of the caller has more than {LONGEST_REQUESTER} characters")
    if mode is RequesterMode.SERVICE_ACCOUNT and (requester.account is None or namespace != requester.home):
        return Denied(
            "forbidden",
            f"the operator runs with --requester ServiceAccount: only a ServiceAccount of namespace {namespace} can "
            "request a token there",
        )
    return Wanted(use_case, namespace, ttl if isinstance(ttl, str) else None)


def pairing_token_body(wanted: Wanted, requester: Requester, mode: RequesterMode, *, name: str) -> Json:
    """Return the PairingToken that the exchange creates. Its subject is the caller (docs/rules.md#r86)."""
    in_account_mode = mode is RequesterMode.SERVICE_ACCOUNT
    return {
        "apiVersion": API_VERSION,
        "kind": PAIRING_TOKENS.kind,
        "metadata": {"name": name, "namespace": wanted.namespace, "annotations": {MADE_BY: EXCHANGE_MADE_IT}},
        "spec": {
            "purpose": Purpose.SERVICE.value,
            "useCase": wanted.use_case,
            "requestedBy": requester.name,
            **({"ttl": wanted.ttl} if wanted.ttl is not None else {}),
            **({"serviceAccountName": requester.account} if in_account_mode and requester.account else {}),
        },
    }


def unused_until(token: PairingToken) -> datetime | None:
    """Return when the controller deletes an object that the exchange made and no client used; None for never.

    An object whose serial a user has raised belongs to the user. Its earlier master tokens depend on it.
    """
    status = token.status
    is_ours = token.metadata.annotations.get(MADE_BY) == EXCHANGE_MADE_IT and token.spec.serial == 1
    expired = status.state is PairingTokenState.EXPIRED and status.serial == 1
    if not (is_ours and expired) or status.expiration_time is None:
        return None
    return status.expiration_time + KEPT_UNUSED


def _is_lifetime(ttl: object) -> bool:
    try:
        return isinstance(ttl, str) and len(ttl) <= _LONGEST_TEXT and _SHORTEST <= parse_duration(ttl) <= _LONGEST
    except ValueError:
        return False
