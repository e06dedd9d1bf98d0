"""One API server in memory, and the parts of controller and exchange around it, made again as after a restart."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tallystick.connections.services.token_use import ConnectionAuthorizer
from tallystick.connections.services.token_use import judges as connection_judges
from tallystick.controller.cache import ObjectCache
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.labels import KIND_LABEL
from tallystick.objects.ports import ClusterError
from tallystick.objects.result import Result
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.domain.grants import RequestedGrant
from tallystick.pairing.domain.policy import PairingPolicy
from tallystick.pairing.domain.requester import RequesterMode
from tallystick.pairing.domain.tokens import MASTER
from tallystick.pairing.services.issuing import PairingIssuer
from tallystick.pairing.services.judges import judges as pairing_judges
from tallystick.pairing.services.master_tokens import MasterTokens
from tallystick.pairing.services.pairing_tokens import PairingTokens
from tallystick.pairing.services.redeem import Redeemed, Redeeming, RedeemRequest
from tallystick.pairing.services.requester_probe import RequesterProbe
from tallystick.registry import KINDS, TOKEN_TYPES
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import Resource
from tallystick.tokens.callers import Callers
from tallystick.tokens.introspection import Introspection
from tallystick.tokens.proofs import Proofs
from tallystick.tokens.revocation import Revocation
from tallystick.tokens.signer import Signer, Verifier
from tallystick.tokens.token_type import Judge
from tests.builders import ISSUER, THUMBPRINT, UID, HeldKeys, a_policy, raw_pairing_token
from tests.fakes import CountingIds, FakeClock, FakeCluster, MemoryAudit, MemoryEvents
from tests.worlds.faults import FaultyCluster

Json = dict[str, Any]

NAMESPACE, NAME, SECRET = "edge", "press-1", "press-1-pairing-token"


class AGuard(RequesterProbe):
    """A requester policy that is in force, or is not, as the test says."""

    def __init__(self, cluster: FakeCluster) -> None:
        super().__init__(cluster, mode=RequesterMode.POLICY, namespace="tallystick")
        self.protected = True


REVOKE_URL = f"{ISSUER}/oauth2/revoke"


@dataclass
class Replica:
    """One exchange process."""

    redeeming: Redeeming
    revocation: Revocation
    introspection: Introspection
    reader: FreshReader
    server_clock: ServerClock
    judges: Mapping[str, Judge]
    signer: Signer

    async def redeem(self, jwt: str, key: str | None = THUMBPRINT, requested: RequestedGrant | None = None) -> Redeemed:
        return await self.redeeming.redeem(RedeemRequest(jwt, requested or RequestedGrant(), key, "192.0.2.7"))

    async def is_valid(self, master_jwt: str, now: datetime) -> bool:
        """Judge a master token as introspection does."""
        verified = self.signer.verified(master_jwt, MASTER, now)
        return verified is not None and await self.judges[MASTER.typ].is_active(verified, {})


@dataclass
class World:
    """What all processes share."""

    clock: FakeClock = field(default_factory=FakeClock)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    keys: HeldKeys = field(default_factory=HeldKeys)
    issuer: str = ISSUER
    policy: PairingPolicy = field(default_factory=a_policy)
    ids: CountingIds = field(default_factory=CountingIds)

    def __post_init__(self) -> None:
        self.cluster = FaultyCluster(clock=self.clock)
        self.guard = AGuard(self.cluster)
        self.server_clock = ServerClock(self.clock)
        self.cache = ObjectCache(KINDS)
        self._controller: PairingTokens | None = None

    # The contract of all kinds (tests/worlds/contracts.py).

    async def settle(self) -> None:
        await self.issue(ttl="24h")

    async def obstruct(self) -> None:
        self.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}})
        self.apply()

    def object(self) -> PairingToken:
        return self.token()

    def said(self) -> dict[str, tuple[str, str]]:
        """Status and reason of each condition."""
        return {one.type: (one.status.value, one.reason) for one in self.token().status.conditions}

    def message(self, kind: str = "Ready") -> str:
        return next(one.message for one in self.token().status.conditions if one.type == kind)

    @property
    def signer(self) -> Signer:
        """The keyring in use: a test may have changed the keys or the settings."""
        return Signer(self.keys, self.issuer)

    # Objects, as others make and change them.

    def apply(self, **changes: Any) -> Json:
        """Store a PairingToken as a user would apply it."""
        return self.cluster.put(PAIRING_TOKENS, raw_pairing_token(**changes))

    def edit(self, resource: Resource = PAIRING_TOKENS, name: str = NAME, **spec: Any) -> Json:
        """Change fields of a spec as a user would; generation rises."""
        return self.cluster.edit(resource, NAMESPACE, name, lambda body: body["spec"].update(spec))

    def reissue(self) -> None:
        self.edit(serial=self.token().spec.serial + 1)

    def start_deleting(self, resource: Resource = PAIRING_TOKENS, name: str = NAME) -> None:
        """Set `deletionTimestamp`, as the API server does while somebody's finalizer is there."""
        stamp = {"deletionTimestamp": "2030-01-01T12:00:00Z"}
        self.cluster.edit(resource, NAMESPACE, name, lambda body: body["metadata"].update(stamp))

    # What is.

    def token(self) -> PairingToken:
        return PairingToken.model_validate(self.cluster.peek(PAIRING_TOKENS, NAMESPACE, NAME))

    def masters(self) -> list[MasterToken]:
        return [MasterToken.model_validate(body) for body in self.cluster.all(MASTER_TOKENS)]

    def secret(self) -> Json | None:
        return self.cluster.peek(SECRETS, NAMESPACE, SECRET)

    def jwt(self) -> str:
        """The pairing token in the Secret."""
        return base64.b64decode(self.cluster.peek(SECRETS, NAMESPACE, SECRET)["data"]["token"]).decode()

    def ready(self, token: PairingToken | MasterToken | None = None) -> tuple[str, str]:
        """Status and reason of the condition Ready; of an object that has ended, the type Ended and its reason."""
        found = {condition.type: condition for condition in (token or self.token()).status.conditions}
        if "Ended" in found:
            return "Ended", found["Ended"].reason
        return found["Ready"].status.value, found["Ready"].reason

    def is_stalled(self) -> bool:
        return any(condition.type == "Stalled" for condition in self.token().status.conditions)

    def writes(self) -> list[tuple[str, str]]:
        """Verb and kind of the writes since the last look."""
        written = [(call.verb, call.plural) for call in self.cluster.writes()]
        self.cluster.calls.clear()
        return written

    # The controller.

    def watch(self) -> None:
        """Let the watches catch up: the cache is what the cluster holds now, of Secrets only those with our label."""
        self.cache = self._seen() if self._controller is None else self._refreshed(self._seen())

    def restart(self) -> None:
        """Start a controller that knows nothing but what the API server tells."""
        self._controller = None

    async def reconcile(self, *, watched: bool = True) -> Result:
        """One look of the controller at the object; `watched`: its watches have caught up."""
        if watched:
            self.watch()
        if self._controller is None:
            self._controller = PairingTokens(
                self.cluster,
                self.cache,
                PairingIssuer(self.signer, self.policy),
                self.guard,
                self._ctx(self.server_clock),
            )
        return await self._controller.reconcile(NAMESPACE, NAME)

    async def reconcile_until_done(self, most: int = 8) -> Result:
        """Look again after each failure, as the work queue does."""
        for _ in range(most):
            try:
                return await self.reconcile()
            except ClusterError:
                continue
        raise AssertionError("it never came to rest")

    async def reconcile_master(self) -> Result:
        """A fresh controller's look at the one MasterToken."""
        (master,) = self.masters()
        reconciler = MasterTokens(self.cluster, self._seen(), self.signer, self._ctx(self.server_clock))
        return await reconciler.reconcile(NAMESPACE, master.metadata.name)

    async def issue(self, **changes: Any) -> str:
        """Apply a PairingToken, let the controller issue it, and return the token."""
        self.apply(**changes)
        await self.reconcile()
        self.cluster.calls.clear()
        return self.jwt()

    def _seen(self) -> ObjectCache:
        cache = ObjectCache(KINDS)
        for resource in (PAIRING_TOKENS, MASTER_TOKENS, SECRETS):
            for body in self.cluster.all(resource):
                if resource != SECRETS or KIND_LABEL in body["metadata"].get("labels", {}):
                    cache.observe(resource, None, body)
        return cache

    def _refreshed(self, seen: ObjectCache) -> ObjectCache:
        self.cache.stores, self.cache.secrets = seen.stores, seen.secrets
        return self.cache

    def _ctx(self, server_clock: ServerClock) -> Context:
        return Context(self.clock, server_clock, self.audit, self.events)

    # The exchange.

    def replica(self, *, max_staleness: float = 1.0) -> Replica:
        """Start one more exchange."""
        reader = FreshReader(self.cluster, self.clock, max_staleness=max_staleness)
        verifier = Verifier(self.signer, TOKEN_TYPES)
        server_clock = ServerClock(self.clock)
        ctx = self._ctx(server_clock)
        judges = {**pairing_judges(self.cluster, reader, ctx), **connection_judges(ConnectionAuthorizer(reader, ctx))}
        callers = Callers(self.cluster, self.clock, issuer=self.issuer)
        redeeming = Redeeming(self.cluster, reader, PairingIssuer(self.signer, self.policy), ctx, ids=self.ids)
        introspection = Introspection(verifier, judges, callers, ctx)
        revocation = Revocation(verifier, judges, Proofs((REVOKE_URL,), self.clock, self.audit, "revoke"), ctx)
        return Replica(redeeming, revocation, introspection, reader, server_clock, judges, self.signer)


__all__ = ["NAME", "NAMESPACE", "SECRET", "UID", "AGuard", "Replica", "World"]
