"""Compose a controller from its engine, the features, and the rotation and removal of signing keys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from prometheus_client import CollectorRegistry

from tallystick.cli.settings import Settings
from tallystick.controller.controller import LEASE, Controller, ControllerSettings, Engine
from tallystick.controller.kinds import MissingKinds
from tallystick.controller.lease import LeaderElector, LeaseName
from tallystick.controller.part import ControllerContext, ControllerPart
from tallystick.controller.worklist import Worklist
from tallystick.feature import Feature, kinds_of
from tallystick.objects.context import Context
from tallystick.objects.kind import Kind
from tallystick.objects.ports import Audit, Clock, Cluster, Feed
from tallystick.objects.server_clock import ServerClock
from tallystick.runtime.chores import Chore, FirstRun
from tallystick.runtime.events import EventRecorder
from tallystick.runtime.metrics import Metrics
from tallystick.runtime.renewed_files import RenewedFiles
from tallystick.tokens.authority import no_ca
from tallystick.tokens.key_care import KeyCare, KeyPolicy, Served
from tallystick.tokens.keyrings import REFRESH_SECONDS, Keyrings
from tallystick.tokens.signer import Signer

KEY_CARE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of a controller process.

    Attributes:
        cluster: The API server.
        feed: The API server, through connections that only the watches of paged kinds use.
        lease_cluster: The API server, through a connection that only the Lease uses.
        clock: Time.
        server_clock: The time of the API server.
        audit: The audit log.
        metrics: The metrics of this process.
        files: The files that are read again when they change.
    """

    cluster: Cluster
    feed: Feed
    lease_cluster: Cluster
    clock: Clock
    server_clock: ServerClock
    audit: Audit
    metrics: Metrics
    files: RenewedFiles


@dataclass(frozen=True, slots=True)
class Composed:
    """A controller, the metrics of its process, and the kinds that the API server does not serve."""

    controller: Controller
    registry: CollectorRegistry
    missing: MissingKinds
    _care: KeyCare
    _parts: Sequence[ControllerPart]

    @property
    def why_not_ready(self) -> str | None:
        """The reason why it cannot lead, or why it can issue no token; None if it can."""
        return self.controller.why_not_ready or self._care.why_not_ready

    def ready(self) -> dict[str, str]:
        """Return the further members of the response of `/readyz`."""
        missing = {} if self.missing.text is None else {"missing": self.missing.text}
        features = {name: value for part in self._parts for name, value in part.ready.items()}
        return {**features, **self._care.remarks, **missing}


def compose_controller(ports: Ports, settings: Settings, features: Sequence[Feature[Any]]) -> Composed:
    """Build a controller. It starts with `run`.

    Raises:
        InvalidSettingError: A file that the settings name cannot be used.
    """
    kinds, namespace = kinds_of(features), settings.own_namespace
    worklist = Worklist(kinds, ports.clock, ports.metrics)
    keyrings = Keyrings(ports.cluster, ports.clock, namespace=namespace, issuer=settings.iss)
    events = EventRecorder(
        ports.cluster, ports.clock, "tallystick-controller", on_suppressed=ports.metrics.events_suppressed.inc
    )
    care = _care(ports, settings, keyrings, worklist, kinds)
    lease = LeaseName(namespace, LEASE, settings.identity)
    engine = Engine(
        cluster=ports.cluster,
        feed=ports.feed,
        worklist=worklist,
        events=events,
        elector=LeaderElector(ports.lease_cluster, ports.clock, lease),
        make_keyring=care.start,
    )
    context = _context(ports, settings, engine, keyrings, lease.identity)
    parts = [feature.controller(context) for feature in features]
    for part in parts:
        ports.metrics.read_gauges(part.readings)
    controller = Controller(engine, ControllerSettings(settings.watch_namespaces), [*parts, _keys_part(care)])
    ports.metrics.missing_kinds.set_function(lambda: len(engine.missing))
    return Composed(controller, ports.metrics.registry, engine.missing, care, parts)


def _context(
    ports: Ports, settings: Settings, engine: Engine, keyrings: Keyrings, identity: str
) -> ControllerContext[Settings]:
    return ControllerContext(
        ctx=Context(ports.clock, ports.server_clock, ports.audit, engine.events),
        cluster=ports.cluster,
        cache=engine.worklist.cache,
        signer=Signer(keyrings, settings.iss),
        namespace=settings.own_namespace,
        identity=identity,
        external_urls=settings.public_urls,
        ca_pem=_follow_ca(settings.ca_file, ports.files, engine.worklist.look_at_all_again),
        files=ports.files,
        watch_namespaces=settings.watch_namespaces,
        settings=settings,
        look_again=engine.worklist.look_again,
        look_at_all_again=engine.worklist.look_at_all_again,
    )


def _care(ports: Ports, settings: Settings, keyrings: Keyrings, worklist: Worklist, kinds: Sequence[Kind]) -> KeyCare:
    metrics = ports.metrics
    care = KeyCare(
        keyrings,
        Served(
            cluster=ports.cluster, kinds=kinds, objects=worklist.cache, namespaces=settings.watch_namespaces or ("",)
        ),
        KeyPolicy(settings.signing_algorithm, settings.key_max_age),
        clock=ports.clock,
        audit=ports.audit,
        on_age=metrics.keyring_age.set,
        on_change=worklist.look_at_all_again,
    )
    metrics.keyring_lost.set_function(lambda: float(keyrings.loss is not None))
    metrics.missing_keys.set_function(lambda: float(len(care.missing)))
    return care


def _keys_part(care: KeyCare) -> ControllerPart:
    return ControllerPart(
        reconcilers={},
        chores=(
            Chore(every=REFRESH_SECONDS, run=care.look, what="read the keyring"),
            Chore(
                every=KEY_CARE_SECONDS,
                run=care.run,
                what="rotate and remove signing keys",
                # After a crash, the first reconciliations record the tokens that name a key. A first run after one
                # interval would be too late: if the leader changes often, no key would be rotated by age.
                first_run=FirstRun.AFTER_FIRST_LOOKS,
            ),
        ),
    )


def _follow_ca(path: Path | None, files: RenewedFiles, changed: Callable[[], None]) -> Callable[[], str | None]:
    """Return a function that returns the CA bundle as the file holds it. The Secrets follow it."""
    if path is None:
        return no_ca
    current: list[str] = []

    def use(pem: str) -> None:
        current[:] = [pem]
        changed()

    use(files.add(path, "--ca-file", pem_bundle, use))
    return lambda: current[0]


def pem_bundle(content: bytes) -> str:
    """Return the text of a bundle of certificates; raises ValueError if it holds none, or a broken one."""
    try:
        x509.load_pem_x509_certificates(content)
        return content.decode()
    except ValueError:
        raise ValueError("it holds no certificate, or a broken one; use a PEM file of the CA") from None
