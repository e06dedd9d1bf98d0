"""One exchange replica for the tests: the real use cases and routes over an API server in memory."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tallystick.connections.services.issuing import ConnectionIssuer
from tallystick.crypto.dpop import make_proof
from tallystick.crypto.keyring import Keyring
from tallystick.crypto.keys import SigningKey
from tallystick.errors import NotYetError
from tallystick.exchange.app import api_of, make_app
from tallystick.exchange.app_context import AppContext
from tallystick.exchange.limits import FailureLimiter, FailureLimits
from tallystick.exchange.oauth_endpoints import REVOKE
from tallystick.exchange.part import BackgroundTask, ExchangeContext, exchange_parts
from tallystick.exchange.senders import Senders
from tallystick.feature import token_types_of
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.held_secrets import held_token
from tallystick.objects.ports import Json
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.domain.requester import RequesterMode
from tallystick.pairing.domain.settings import PairingSettings
from tallystick.pairing.domain.token_claims import PairingTokenClaims, grant
from tallystick.pairing.feature import pairing_policy
from tallystick.pairing.services.issuing import PairingIssuer
from tallystick.registry import FEATURES
from tallystick.runtime.health import Health
from tallystick.runtime.metrics import Metrics, make_metrics
from tallystick.schema.builtin import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from tallystick.schema.meta import Resource
from tallystick.schema.times import rfc3339
from tallystick.tokens.callers import Callers
from tallystick.tokens.introspection import Introspection
from tallystick.tokens.proofs import Proofs
from tallystick.tokens.revocation import Revocation
from tallystick.tokens.signer import Signer, Verifier
from tallystick.tokens.token_type import Judge
from tallystick.tokens.wrong_types import WrongTypes
from tests.fakes import CountingIds, FakeClock, FakeCluster, MemoryAudit, MemoryEvents
from tests.worlds.connected import Connected, connected

ISSUER = "https://trust.example.com"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
# More than any test spends by failing, for those that are about something else.
GENEROUS = FailureLimits(burst=1000)


@dataclass
class ReviewingCluster(FakeCluster):
    """A cluster that also answers TokenReviews and SubjectAccessReviews: `watcher` may introspect in `edge`.

    `rights` are further ones: the name of an account, the verb, the kind, the namespace, and the name of the object.
    """

    rights: set[tuple[str, str, str, str, str]] = field(default_factory=set)
    reviews: list[str] = field(default_factory=list)
    user: Json | None = None  # a user in the place of the ServiceAccount that a bearer names

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        if resource in (TOKEN_REVIEWS, SUBJECT_ACCESS_REVIEWS):
            self.reviews.append(resource.plural)
        if resource == TOKEN_REVIEWS:
            return {"status": self._authenticated(body["spec"])}
        if resource == SUBJECT_ACCESS_REVIEWS:
            asked = body["spec"]["resourceAttributes"]
            account = body["spec"]["user"].rpartition(":")[2]
            introspects = account == "watcher" and asked["namespace"] == "edge" and asked["verb"] == "introspect"
            right = (account, asked["verb"], asked["resource"], asked["namespace"], asked.get("name", ""))
            return {"status": {"allowed": introspects or right in self.rights}}
        return await super().create(resource, body, dry_run=dry_run)

    def _authenticated(self, spec: Json) -> Json:
        name, _, audience = bearer_claims(spec["token"])["sub"].partition("@")
        if name == "nobody" or audience not in spec["audiences"]:
            return {"authenticated": False}
        user = self.user or {"username": f"system:serviceaccount:edge:{name}", "uid": name, "groups": []}
        return {"authenticated": True, "audiences": [audience], "user": user}


def a_bearer(name: str, audience: str = ISSUER) -> str:
    """What stands for a ServiceAccount's token; the fake cluster knows its holder by it."""
    claims = base64.urlsafe_b64encode(json.dumps({"sub": f"{name}@{audience}", "aud": [audience]}).encode())
    return f"h.{claims.rstrip(b'=').decode()}.s"


def bearer_claims(bearer: str) -> dict[str, Any]:
    payload = bearer.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


@dataclass
class Replica:
    """Everything around the routes, to be looked into and disturbed."""

    issuer: str = ISSUER
    clock: FakeClock = field(default_factory=FakeClock)
    limits: FailureLimits = GENEROUS
    not_ready: str | None = None
    keys_known: bool = True

    def __post_init__(self) -> None:
        self.cluster = ReviewingCluster(clock=self.clock)
        self.audit, self.events, self.ids = MemoryAudit(), MemoryEvents(), CountingIds()
        self.api = api_of(feature.api for feature in FEATURES)
        self.metrics: Metrics = make_metrics(endpoints=self.api.metrics, outcomes=self.api.outcomes)
        self.server_clock = ServerClock(self.clock)
        self._keyring = Keyring.first(self.issuer, SigningKey.generate("ES256"), self.clock.now())
        self.settings = PairingSettings(requester=RequesterMode.SERVICE_ACCOUNT)
        self.policy = pairing_policy((self.issuer,), self.settings)
        self.signer = Signer(self, self.issuer)
        self.tokens = PairingIssuer(self.signer, self.policy)
        self.background: list[BackgroundTask] = []
        self.app = self._composed()

    def keyring(self) -> Keyring:
        """The Keys port."""
        if not self.keys_known:
            raise NotYetError("temporarily_unavailable", "the signing keys were not read yet")
        return self._keyring

    def _revocation_proofs(self) -> Proofs:
        return Proofs((self.issuer + REVOKE.path,), self.clock, self.audit, "revoke")

    def _composed(self) -> web.Application:
        ctx = Context(self.clock, self.server_clock, self.audit, self.events)
        reader = FreshReader(self.cluster, self.clock, max_staleness=0.0)
        callers = Callers(self.cluster, self.clock, issuer=self.issuer)
        token_types = token_types_of(FEATURES)
        verifier = Verifier(self.signer, token_types)
        judges: dict[str, Judge] = {}
        of_features: ExchangeContext[Any] = ExchangeContext(
            ctx=ctx,
            cluster=self.cluster,
            reader=reader,
            signer=self.signer,
            ids=self.ids,
            namespace="tallystick-system",
            replica="one",
            token_types=token_types,
            wrong_types=WrongTypes(verifier, judges, ctx),
            external_urls=self.policy.external_urls,
            settings=self.settings,
            callers=callers,
        )
        parts = exchange_parts([feature.exchange for feature in FEATURES], of_features, judges)
        self.background = [task for part in parts for task in part.background]
        self.health = Health(
            why_not_ready=lambda: self.not_ready,
            ready=lambda: {name: value for part in parts for name, value in part.ready.items()},
            registry=self.metrics.registry,
        )
        context = AppContext(
            api=self.api,
            issuer=self.issuer,
            token_types=token_types,
            introspection=Introspection(verifier, judges, callers, ctx),
            revocation=Revocation(
                verifier, judges, Proofs((self.issuer + REVOKE.path,), self.clock, self.audit, "revoke"), ctx
            ),
            callers=callers,
            keys=self,
            metrics=self.metrics,
            senders=Senders(
                verifier,
                callers,
                self.clock,
                FailureLimiter(self.clock, self.limits),
                FailureLimiter(self.clock, self.limits),
            ),
            clock=self.clock,
            ids=self.ids,
        )
        return make_app(context, [route for part in parts for route in part.routes])

    async def store_heartbeats(self) -> None:
        """Store what a replica stores when it stops."""
        for task in self.background:
            await task.finish()

    def pairing_token(self, name: str = "press-1", **spec: object) -> str:
        """Make a PairingToken in namespace `edge` as the controller leaves it, and return its JWT."""
        body = {
            "metadata": {"name": name, "namespace": "edge", "generation": 1},
            "spec": {"purpose": "Service", "useCase": "mission-control", **spec},
        }
        token = PairingToken.model_validate(self.cluster.put(PAIRING_TOKENS, body))
        key_id = self._keyring.signing_key(self.clock.now()).key_id
        granted = grant(token, self.policy, now=self.clock.now(), key_id=key_id)
        assert isinstance(granted, PairingTokenClaims)
        self.cluster.edit(PAIRING_TOKENS, "edge", name, lambda stored: stored.update(status=_as_issued(granted)))
        signed = held_token(self.tokens.pairing_secret(token, granted))
        assert signed is not None
        return signed

    def connection(self, name: str = "dc-west", **changes: Any) -> Connected:
        """Make a ConnectionConfiguration in namespace `edge` as the controller leaves it, with good tokens."""
        return connected(
            self.cluster, ConnectionIssuer(self.signer, self.issuer), self.clock.now(), name=name, **changes
        )

    def status_of(self, name: str = "press-1") -> Json:
        """The status of a PairingToken."""
        found = self.cluster.peek(PAIRING_TOKENS, "edge", name)
        assert found is not None
        status: Json = found["status"]
        return status

    def master_tokens(self) -> list[Json]:
        """All MasterTokens."""
        return self.cluster.all(MASTER_TOKENS)

    def proof(self, key: SigningKey, **changes: str) -> dict[str, str]:
        """The header that proves a key to the token endpoint."""
        url = changes.get("url", f"{self.issuer}/oauth2/token")
        made = make_proof(key, method="POST", url=url, now=self.clock.now(), proof_id=self.ids.new())
        return {"DPoP": made}

    def counted(self, endpoint: str, outcome: str) -> float:
        """How often an endpoint has answered so."""
        labels = {"endpoint": endpoint, "outcome": outcome}
        return self.metrics.registry.get_sample_value("tallystick_exchange_responses_total", labels) or 0.0

    def client(self) -> TestClient:
        """A client on a port of its own."""
        return TestClient(TestServer(self.app))


def form(signed: str, /, **changes: str | None) -> dict[str, str]:
    """The parameters of an exchange; None leaves one out."""
    parameters = {
        "grant_type": GRANT,
        "subject_token": signed,
        "subject_token_type": JWT_TYPE,
        "requested_token_type": ACCESS_TOKEN_TYPE,
        **changes,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _as_issued(granted: PairingTokenClaims) -> Json:
    return {
        "observedGeneration": 1,
        "state": "Active",
        "serial": granted.serial,
        "tokenID": granted.token_id,
        "kid": granted.key_id,
        "issuedTime": rfc3339(granted.issued),
        "expirationTime": rfc3339(granted.expires),
        "expiresIn": granted.expires_in,
    }
