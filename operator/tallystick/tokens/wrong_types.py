"""Reject tokens of other types where one type is exchanged, with a text that contains the next action."""

from collections.abc import Mapping

from tallystick.crypto.profiles import Profile
from tallystick.errors import ExchangeRefusedError
from tallystick.objects.context import Context
from tallystick.tokens.signer import Verifier, facts_of
from tallystick.tokens.token_type import Hints, Judge


class WrongTypes:
    """The use case, for one replica."""

    def __init__(self, verifier: Verifier, judges: Mapping[str, Judge], ctx: Context) -> None:
        self._verifier = verifier
        self._judges = judges
        self._clock = ctx.clock
        self._audit = ctx.audit

    async def reject(self, unverified_jwt: str, hints: Hints, *, exchanged: Profile) -> None:
        """Reject a valid token of another type than the one that is exchanged, if its judge returns a reason.

        All other texts pass: the exchange of the one type verifies them.

        Raises:
            ExchangeRefusedError: The token is ours, and of another type.
            NotYetError: It is, and its state cannot be read now.
        """
        if self._verifier.unverified_typ(unverified_jwt) in {None, exchanged.typ}:
            return
        verified = self._verifier.verified(unverified_jwt, self._clock.now())
        denied = await self._judges[verified.typ].not_exchanged(verified, hints) if verified is not None else None
        if verified is not None and denied is not None:
            self._audit.record("redeem", "refused", **facts_of(verified), reason=denied.reason)
            raise ExchangeRefusedError(denied.code, denied.description)
