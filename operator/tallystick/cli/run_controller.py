"""The composition root of the controller: the place that sees every layer and wires the real parts together.

The clock and the cluster can be replaced, so that a harness composes the same process with its own.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

import kopf
import structlog
from aiohttp.web import AppRunner

from tallystick.cli.process import keep_what_is_imported, use_small_tls_buffers
from tallystick.cli.settings import Settings, host_and_port
from tallystick.crypto.keyring import KeyringError
from tallystick.domain.errors import InvalidSettingError, TallystickError
from tallystick.domain.names import CONTROLLER_MANAGER
from tallystick.handlers.controller import Controller, ControllerSettings
from tallystick.handlers.health import serve_health
from tallystick.handlers.storages import NoMemories
from tallystick.handlers.watches import configure, register
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.runtime.audit import AuditLog, open_audit
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.metrics import make_metrics
from tallystick.runtime.relist import NotSyncedError
from tallystick.services.freshness import ServerClock
from tallystick.services.ports import Clock, Cluster

log = structlog.get_logger("tallystick")

CALL_SECONDS = 15.0
# A leader whose connection has fallen silent has to find that out, and to renew by a new one, before its deadline.
LEASE_CALL_SECONDS = 2.5

Wrap = Callable[[Cluster], Cluster]


ServerTime = Callable[[datetime], datetime]


def as_it_says(server_time: datetime) -> datetime:
    """Take the API server's time for what it is."""
    return server_time


def as_it_is(cluster: Cluster) -> Cluster:
    """Use the real cluster."""
    return cluster


async def run_controller(
    settings: Settings, *, clock: Clock | None = None, wrap: Wrap = as_it_is, server_time: ServerTime = as_it_says
) -> int:
    """Run the controller until it is told to stop or must; return the exit status of the process."""
    use_small_tls_buffers()
    clock = clock or SystemClock()
    metrics, told = make_metrics(), controller_settings(settings)
    log.info("use cases", names=told.policy.use_cases.names, digest=told.policy.use_cases.digest)
    audit = AuditLog(audit_stream(settings), clock, "controller")
    metrics.audit_failures.set_function(lambda: audit.failures)
    connection = Connection(kubeconfig=settings.kubeconfig, context=settings.context)
    server_clock = ServerClock(clock)

    def client(timeout_seconds: float) -> KubeCluster:
        return KubeCluster(
            connection,
            field_manager=CONTROLLER_MANAGER,
            on_date=lambda time: server_clock.observe(server_time(time)),
            on_call=metrics.count_api_call,
            timeout_seconds=timeout_seconds,
        )

    # The Lease has a session of its own: among the idle connections of the other one there may be more silent ones
    # than time allows.
    async with client(CALL_SECONDS) as cluster, client(LEASE_CALL_SECONDS) as lease_cluster:
        controller = Controller(
            wrap(cluster),
            told,
            clock=clock,
            server_clock=server_clock,
            audit=audit,
            metrics=metrics,
            lease_cluster=wrap(lease_cluster),
        )
        health = await serve_health(
            *host_and_port(settings.health_listen),
            why_not_ready=lambda: controller.why_not_ready,
            use_cases=told.policy.use_cases.digest,
            registry=metrics.registry,
        )
        try:
            return await _under_kopf(controller, connection, health, settings.watch_namespaces)
        finally:
            await health.cleanup()


async def _under_kopf(
    controller: Controller, connection: Connection, health: AppRunner, namespaces: tuple[str, ...]
) -> int:
    """Let kopf watch for the controller until one of both ends; return the exit status of the process."""
    process, registry = _ControllerProcess(controller), kopf.OperatorRegistry()
    register(registry, controller)

    @kopf.on.login(registry=registry)
    async def login(**_: object) -> kopf.AiohttpSession:
        # kopf closes its session when it logs in again, so it gets one of its own.
        return kopf.AiohttpSession(server=connection.server, aiohttp_session=connection.session(limit=0))

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: object) -> None:
        configure(settings)
        keep_what_is_imported()
        process.start()

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: object) -> None:
        await process.stop()
        # The idle connection of a scraper is a task that kopf would wait for, too.
        await health.cleanup()

    await kopf.operator(
        registry=registry,
        settings=kopf.OperatorSettings(),
        memories=NoMemories(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=process.stop_flag,
    )
    return process.exit_status


class _ControllerProcess:
    """Runs the controller beside kopf's watches, and ends kopf when the controller ends.

    kopf is never cancelled: that would leave a timer behind which kills the process (reference, kopf section 6).
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._task: asyncio.Task[None] | None = None
        self.stop_flag = asyncio.Event()
        self.exit_status = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._controller.run()
        except* (TallystickError, KeyringError, NotSyncedError) as group:
            for error in _leaves(group):
                log.error("stopped", reason=str(error))  # noqa: TRY400 - the reason is all there is to say
        except* Exception as group:
            log.exception("stopped by a fault", errors=[type(error).__name__ for error in _leaves(group)])
        # Leadership was lost, or something failed for good: a fresh process is the clean state to go on from.
        self.exit_status = 1
        self.stop_flag.set()

    async def stop(self) -> None:
        # kopf waits 5 s for every task that is left, its own waiter on this flag among them.
        self.stop_flag.set()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


def controller_settings(settings: Settings) -> ControllerSettings:
    """Return what the controller is told, with the files read that the settings name."""
    return ControllerSettings(
        namespace=settings.own_namespace,
        identity=settings.identity,
        policy=settings.policy(),
        algorithm=settings.signing_algorithm,
        key_max_age=settings.key_max_age,
        ca_pem=_read(settings.ca_file),
        watch_namespaces=settings.watch_namespaces,
    )


def audit_stream(settings: Settings) -> TextIO:
    """Open the audit log that the settings name."""
    try:
        return open_audit(settings.audit_log)
    except OSError as error:
        raise InvalidSettingError(f"--audit-log {settings.audit_log} cannot be written: {error.strerror}") from error


def _read(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidSettingError(f"--ca-file {path} cannot be read: {error.strerror}") from error
