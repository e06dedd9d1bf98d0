"""The types of our tokens: shared code dispatches on `typ` by these values and imports no feature."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tallystick.crypto.profiles import Profile
from tallystick.crypto.tokens import VerifiedClaims
from tallystick.schema.meta import Resource

Hints = Mapping[str, str]
"""The form fields that a caller sends beside a token, such as `deployment_type`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenType:
    """One type of token.

    Attributes:
        profile: The claims that such a token has, exactly; `profile.typ` is its JOSE `typ`.
        resource: The kind of the object that a token of this type belongs to.
    """

    profile: Profile
    resource: Resource


class Judge(Protocol):
    """Decides about tokens of one type, by objects that are read fresh. One for each type in a replica."""

    async def is_active(self, verified: VerifiedClaims, hints: Hints) -> bool:
        """Return whether the token is valid now (RFC 7662).

        Raises:
            ExchangeRefusedError: A hint is missing or cannot be used.
            NotYetError: The state cannot be read now.
        """
        ...

    async def revoke(self, verified: VerifiedClaims) -> bool:
        """Store the revocation; return False if the token was already invalid (RFC 7009, section 2.2).

        Raises:
            ExchangeRefusedError: Possession of the token does not permit its revocation.
            NotYetError: The revocation is not stored; ask again.
        """
        ...
