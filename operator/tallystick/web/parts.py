"""What the routes need, in one value: the composition root makes it, the tests make their own."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from tallystick.runtime.metrics import Metrics
from tallystick.services.callers import Callers
from tallystick.services.connection_uses import ConnectionUses
from tallystick.services.heartbeats import Heartbeats
from tallystick.services.introspect import Introspection
from tallystick.services.ports import Audit, Clock, Ids, Keys
from tallystick.services.redeem import Redemption
from tallystick.services.revoke import Revocation
from tallystick.web.finishing import Finishing
from tallystick.web.limits import FailureLimiter


@dataclass(frozen=True, slots=True)
class ExchangeParts:
    """Everything of one exchange replica that a request can reach.

    Attributes:
        issuer: The `iss` of our tokens; the endpoints are published under it.
        token_endpoints: All public URLs of the token endpoint, as the settings have them: what `htu` may say (S14).
        use_cases_digest: Names the table of use cases, so that replicas can be compared.
        why_not_ready: Says why the replica cannot serve, or None.
    """

    redemption: Redemption
    introspection: Introspection
    revocation: Revocation
    uses: ConnectionUses
    heartbeats: Heartbeats
    callers: Callers
    keys: Keys
    issuer: str
    token_endpoints: tuple[str, ...]
    use_cases_digest: str
    why_not_ready: Callable[[], str | None]
    metrics: Metrics
    limiter: FailureLimiter
    audit: Audit
    clock: Clock
    ids: Ids


PARTS = web.AppKey("PARTS", ExchangeParts)
FINISHING = web.AppKey("FINISHING", Finishing)
