"""The types of our tokens: shared code dispatches on `typ` by these values and imports no feature."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tallystick.crypto.profiles import Profile
from tallystick.crypto.tokens import VerifiedClaims
from tallystick.errors import ExchangeRefusedError
from tallystick.schema.meta import Resource

Hints = Mapping[str, str]
"""The form fields beside a token that a type of token defines, such as `deployment_type`."""


def _no_members(_: VerifiedClaims) -> dict[str, object]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenType:
    """One type of token.

    Attributes:
        profile: The claims that such a token has, exactly; `profile.typ` is its JOSE `typ`.
        resource: The kind of the object that a token of this type belongs to.
        hints: The form fields that a caller may send beside such a token, each with its possible values.
        introspected: Returns the members that an introspection response has only for this type (RFC 7662, section 2.2).
    """

    profile: Profile
    resource: Resource
    hints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    introspected: Callable[[VerifiedClaims], Mapping[str, object]] = _no_members


def read_hints(types: Iterable[TokenType], fields: Mapping[str, str]) -> dict[str, str]:
    """Return the form fields that a type of token defines. Other fields are ignored (RFC 6749 3.1).

    Raises:
        ExchangeRefusedError: A value is not one of those that the type defines.
    """
    known: dict[str, list[str]] = {}
    for token_type in types:
        for name, values in token_type.hints.items():
            known.setdefault(name, []).extend(values)
    hints = {name: fields[name] for name in known if name in fields}
    for name, value in hints.items():
        if value not in known[name]:
            raise ExchangeRefusedError("invalid_request", f"{name} must be {' or '.join(known[name])}")
    return hints


@dataclass(frozen=True, slots=True)
class NotPermitted:
    """A request that a type of token does not permit.

    Attributes:
        reason: One word for the audit log.
        code: The error code for the caller (RFC 6749 5.2).
        description: The text for the caller.
    """

    reason: str
    code: str
    description: str


class Judge(Protocol):
    """Decides about tokens of one type, by objects that are read fresh. One for each type in a replica."""

    async def is_active(self, verified: VerifiedClaims, hints: Hints) -> bool:
        """Return whether the token is valid now (RFC 7662).

        Raises:
            ExchangeRefusedError: A hint is missing.
            NotYetError: The state cannot be read now.
        """
        ...

    async def revoke(self, verified: VerifiedClaims) -> bool | NotPermitted:
        """Store the revocation; return False if the token was already invalid (RFC 7009, section 2.2).

        Raises:
            UnavailableError: The revocation is not stored.
            NotYetError: The exchange cannot determine whether the revocation is stored, or cannot read the state now.
        """
        ...

    async def not_exchanged(self, verified: VerifiedClaims, hints: Hints) -> NotPermitted | None:
        """Return why the token endpoint does not exchange a token of this type; None for the endpoint's own text.

        Raises:
            NotYetError: The state cannot be read now.
        """
        ...
