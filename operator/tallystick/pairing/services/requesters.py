"""Decide who may request a pairing token over HTTP: the admin token, or a Kubernetes identity with both permissions.

The exchange writes the PairingToken with its own account, so it asks first what the caller may do. It issues no token
by an approval from a cache: a permission that was removed is gone at once (docs/rules.md#s4, docs/rules.md#s5).
"""

import asyncio
from datetime import datetime

from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import Clock
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.admin_token import is_admin_token
from tallystick.pairing.domain.pairing_request import Denied, Requester, Wanted, admin_requester
from tallystick.pairing.domain.tokens import MASTER
from tallystick.pairing.domain.validity import why_master_invalid
from tallystick.tokens.callers import Caller, Callers, Permission
from tallystick.tokens.signer import Signer


class Requesters:
    """Authenticates and authorizes the callers of one replica."""

    def __init__(self, callers: Callers, signer: Signer, reader: FreshReader, clock: Clock, *, namespace: str) -> None:
        """Hold the ports.

        Args:
            callers: Kubernetes identities.
            signer: Verifies an admin token.
            reader: Reads its MasterToken.
            clock: Time.
            namespace: The operator's namespace, where the admin token is valid.
        """
        self._callers = callers
        self._signer = signer
        self._reader = reader
        self._clock = clock
        self._namespace = namespace

    async def authenticate(self, unverified_bearer: str) -> tuple[Requester, Caller | None] | None:
        """Return the requester, and its Kubernetes identity if it has one; None if the bearer token is not valid."""
        if await self._is_admin(unverified_bearer, self._clock.now()):
            return admin_requester(self._namespace), None
        caller = await self._callers.authenticate(unverified_bearer, afresh=True)
        if caller is None:
            return None
        home, account = caller.service_account or (None, None)
        return Requester(caller.username, home, account), caller

    async def denied(self, caller: Caller, wanted: Wanted) -> Denied | None:
        """Return the permission that the caller lacks; None if it has both."""
        create = Permission("create", PAIRING_TOKENS.plural, wanted.namespace)
        use = Permission("use", "usecases", wanted.namespace, wanted.use_case)
        may_create, may_use = await asyncio.gather(
            self._callers.is_allowed(caller, create, afresh=True), self._callers.is_allowed(caller, use, afresh=True)
        )
        who, ask = caller.username, "ask an administrator for a RoleBinding to ClusterRole"
        if not may_create:
            lacks = f"cannot create pairingtokens in namespace {wanted.namespace}"
            return Denied("forbidden", f"{who} {lacks}; {ask} tallystick-edit")
        if not may_use:
            lacks = f"cannot use usecases/{wanted.use_case} in namespace {wanted.namespace}"
            return Denied("forbidden", f"{who} {lacks}; {ask} tallystick-usecase-{wanted.use_case}")
        return None

    async def _is_admin(self, unverified_bearer: str, now: datetime) -> bool:
        """Return whether a bearer token is a valid admin token, by its MasterToken as it is now."""
        verified = self._signer.verified(unverified_bearer, MASTER, now)
        if verified is None or verified.reference.namespace != self._namespace or verified.reference.serial is not None:
            return False
        reference = verified.reference
        raw = await self._reader.get_uncached(MASTER_TOKENS, reference.namespace, reference.name)
        if raw is None:
            return False
        token = MasterToken.model_validate(raw)
        problem = why_master_invalid(token, None, uid=reference.uid, token_id=verified.token_id, now=self._clock.now())
        return is_admin_token(token) and problem is None
