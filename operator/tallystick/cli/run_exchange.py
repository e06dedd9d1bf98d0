"""The composition root of the exchange: the place that sees every layer and wires the real parts together.

The clock and the cluster can be replaced, so that a harness composes the same process with its own.
"""

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass

import structlog

from tallystick.cli.process import keep_what_is_imported, use_small_tls_buffers
from tallystick.cli.run_controller import ServerTime, Wrap, as_it_is, as_it_says, audit_stream
from tallystick.cli.settings import Settings, host_and_port
from tallystick.crypto.keyring import KeyringError
from tallystick.domain.errors import InvalidSettingError, NotYetError
from tallystick.domain.grants import TOKEN_PATH
from tallystick.domain.names import EXCHANGE_MANAGER
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.runtime.audit import AuditLog
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.events import EventRecorder
from tallystick.runtime.ids import RandomIds
from tallystick.runtime.metrics import Metrics, make_metrics
from tallystick.services.callers import Callers
from tallystick.services.connection_uses import ConnectionUses
from tallystick.services.freshness import FreshReader, ServerClock
from tallystick.services.heartbeats import Heartbeats
from tallystick.services.instance_log import InstanceLog
from tallystick.services.introspect import Introspection
from tallystick.services.issuer import Issuer
from tallystick.services.keyrings import REFRESH_SECONDS, Keyrings
from tallystick.services.ports import Clock, Cluster, ClusterError, UnavailableError
from tallystick.services.redeem import Redemption
from tallystick.services.revoke import Revocation
from tallystick.services.surroundings import Surroundings
from tallystick.web.app import ExchangeParts, make_app
from tallystick.web.connections import MOST_PER_SOURCE
from tallystick.web.limits import FailureLimiter
from tallystick.web.server import ServeSettings, serve

log = structlog.get_logger("tallystick")

# Until the leader has made the first keyring, a new replica asks more often.
FIRST_REFRESH_SECONDS = 0.5


async def run_exchange(
    settings: Settings,
    *,
    clock: Clock | None = None,
    wrap: Wrap = as_it_is,
    server_time: ServerTime = as_it_says,
) -> int:
    """Run the exchange until it is told to stop; return the exit status of the process."""
    use_small_tls_buffers()
    clock = clock or SystemClock()
    metrics = make_metrics()
    server_clock = ServerClock(clock)
    client = KubeCluster(
        Connection(kubeconfig=settings.kubeconfig, context=settings.context),
        field_manager=EXCHANGE_MANAGER,
        on_date=lambda time: server_clock.observe(server_time(time)),
        on_call=metrics.count_api_call,
    )
    cluster, audit = wrap(client), AuditLog(audit_stream(settings), clock, "exchange")
    metrics.audit_failures.set_function(lambda: audit.failures)
    events = EventRecorder(cluster, clock, "tallystick-exchange", on_suppressed=metrics.events_suppressed.inc)
    keyrings = Keyrings(cluster, clock, namespace=settings.own_namespace, issuer=settings.iss)
    instances = InstanceLog(cluster, clock, namespace=settings.own_namespace, replica=settings.replica)
    around = Surroundings(clock, server_clock, audit, events)
    parts = _parts(settings, _Ports(cluster, keyrings, instances, around), metrics)
    stop = _stop_on_signals()
    process = _ExchangeProcess(keyrings, stop)
    host, port = host_and_port(settings.listen)
    serving = ServeSettings(
        host,
        port,
        settings.tls_cert,
        settings.tls_key,
        plain_http=settings.plain_http,
        most_per_source=_share_of_a_source(settings),
    )
    keep_what_is_imported()
    recorder, refresher = asyncio.create_task(events.run()), asyncio.create_task(process.keep_keyring())
    keeper = asyncio.create_task(process.keep_instances(instances))
    try:
        await serve(make_app(parts), serving, log.info, stop=stop)
    finally:
        refresher.cancel()
        keeper.cancel()
        events.close()
        last = asyncio.create_task(_store_last(instances))
        await asyncio.wait((recorder, last), timeout=2.0)
        recorder.cancel()
        last.cancel()
        await client.close()
    return process.exit_status


@dataclass(frozen=True, slots=True)
class _Ports:
    cluster: Cluster
    keys: Keyrings
    instances: InstanceLog
    around: Surroundings


def _parts(settings: Settings, ports: _Ports, metrics: Metrics) -> ExchangeParts:
    policy, ids, around, cluster = settings.policy(), RandomIds(), ports.around, ports.cluster
    issuer = Issuer(ports.keys, policy)
    reader = FreshReader(cluster, around.clock, max_staleness=settings.max_staleness)
    callers = Callers(cluster, around.clock, issuer=policy.issuer)
    uses = ConnectionUses(reader, issuer, around)
    log.info("use cases", names=policy.use_cases.names, digest=policy.use_cases.digest)
    return ExchangeParts(
        redemption=Redemption(cluster, reader, issuer, around, ids=ids),
        introspection=Introspection(reader, issuer, callers, uses, around),
        revocation=Revocation(cluster, reader, issuer, around),
        uses=uses,
        heartbeats=Heartbeats(issuer, uses, ports.instances, around),
        callers=callers,
        keys=ports.keys,
        issuer=policy.issuer,
        token_endpoints=tuple(url + TOKEN_PATH for url in policy.external_urls),
        use_cases_digest=policy.use_cases.digest,
        why_not_ready=lambda: _why_not_ready(ports.keys),
        metrics=metrics,
        limiter=FailureLimiter(around.clock),
        audit=around.audit,
        clock=around.clock,
        ids=ids,
    )


async def _store_last(instances: InstanceLog) -> None:
    """Store what the last seconds have told, so that whoever comes next knows it.

    The write that was cut off may have been done: then the first try finds another version than it knows.
    """
    for _ in range(2):
        with suppress(ClusterError):
            await instances.store()
            return


def _share_of_a_source(settings: Settings) -> int | None:
    if settings.connections_per_source is not None:
        return settings.connections_per_source
    # Behind a proxy everything comes from the proxy's address.
    return None if settings.plain_http else MOST_PER_SOURCE


def _why_not_ready(keys: Keyrings) -> str | None:
    try:
        keys.keyring()
    except NotYetError as problem:
        return problem.message
    return None


class _ExchangeProcess:
    """Keeps the keyring fresh, and ends the process when it can never be used."""

    def __init__(self, keyrings: Keyrings, stop: asyncio.Event) -> None:
        self._keyrings = keyrings
        self._stop = stop
        self.exit_status = 0

    async def keep_keyring(self) -> None:
        pause = 0.0
        try:
            while True:
                await asyncio.sleep(pause)
                pause = await self._refresh()
        except (InvalidSettingError, KeyringError) as error:
            log.error("stopped", reason=str(error))  # noqa: TRY400 - the reason is all there is to say
            self._end()
        except Exception:
            # Without this task the replica would answer 503 for ever, and be alive: a fresh one can do better.
            log.exception("stopped by a fault")
            self._end()

    async def keep_instances(self, instances: InstanceLog) -> None:
        try:
            await instances.keep()
        except Exception:
            # Heartbeats would be taken and never be told of.
            log.exception("stopped by a fault")
            self._end()

    def _end(self) -> None:
        self.exit_status = 1
        self._stop.set()

    async def _refresh(self) -> float:
        try:
            await self._keyrings.refresh()
        except ClusterError as error:
            log.warning("the keyring was not read", error=type(error).__name__, text=str(error))
            return max(FIRST_REFRESH_SECONDS, error.retry_after if isinstance(error, UnavailableError) else 0.0)
        return REFRESH_SECONDS


def _stop_on_signals() -> asyncio.Event:
    """Return an event that is set on Ctrl-C and on SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop
