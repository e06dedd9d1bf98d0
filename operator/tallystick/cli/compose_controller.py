"""Compose a controller from its engine, the features, and the rotation and removal of signing keys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from prometheus_client import CollectorRegistry

from tallystick.cli.settings import Settings
from tallystick.controller.controller import LEASE, Controller, ControllerSettings, Engine
from tallystick.controller.kinds import MissingKinds
from tallystick.controller.lease import LeaderElector, LeaseName
from tallystick.controller.part import ControllerContext, ControllerPart
from tallystick.controller.serving_certificate import ServingCertificate
from tallystick.controller.serving_plan import Names
from tallystick.controller.worklist import Worklist
from tallystick.errors import InvalidSettingError
from tallystick.feature import Feature, kinds_of
from tallystick.objects.context import Context
from tallystick.objects.kind import Kind
from tallystick.objects.ports import Audit, Clock, Cluster, Feed
from tallystick.objects.server_clock import ServerClock
from tallystick.runtime.chores import Chore, FirstRun
from tallystick.runtime.events import EventRecorder
from tallystick.runtime.metrics import Metrics
from tallystick.runtime.renewed_files import RenewedFiles
from tallystick.runtime.requirements import Requirement
from tallystick.tokens.authority import CaPem, no_ca
from tallystick.tokens.issuer_check import issuer_problem
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
    _certificate: ServingCertificate | None
    _parts: Sequence[ControllerPart]

    @property
    def why_not_ready(self) -> str | None:
        """The reason why it cannot lead, or why it can issue no token; None if it can."""
        return self.controller.why_not_ready or self._care.why_not_ready

    def ready(self) -> dict[str, str]:
        """Return the further members of the response of `/readyz`."""
        missing = {} if self.missing.text is None else {"missing": self.missing.text}
        features = {name: value for part in self._parts for name, value in part.ready.items()}
        certificate = self._certificate.ready() if self._certificate is not None else {}
        return {**features, **self._care.remarks, **certificate, **missing}


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
    ctx = Context(ports.clock, ports.server_clock, ports.audit, events)
    certificate = _certificate(ports, settings, ctx, worklist)
    follow = partial(_follow_ca, settings.ca_file, ports.files, worklist.look_at_all_again)
    context = _context(ports, settings, engine, keyrings, certificate.ca_pem if certificate is not None else follow())
    parts = [feature.controller(context) for feature in features]
    for part in parts:
        ports.metrics.read_gauges(part.readings)
    all_parts = [
        *_certificate_parts(certificate),
        *parts,
        _keys_part(care, _issuer_requirement(ports.cluster, settings)),
    ]
    controller = Controller(engine, ControllerSettings(settings.watch_namespaces), all_parts)
    ports.metrics.missing_kinds.set_function(lambda: len(engine.missing))
    return Composed(controller, ports.metrics.registry, engine.missing, care, certificate, parts)


def _context(
    ports: Ports, settings: Settings, engine: Engine, keyrings: Keyrings, ca_pem: CaPem
) -> ControllerContext[Settings]:
    return ControllerContext(
        ctx=Context(ports.clock, ports.server_clock, ports.audit, engine.events),
        cluster=ports.cluster,
        cache=engine.worklist.cache,
        signer=Signer(keyrings, settings.iss),
        namespace=settings.own_namespace,
        identity=engine.elector.identity,
        external_urls=settings.public_urls,
        ca_pem=ca_pem,
        files=ports.files,
        watch_namespaces=settings.watch_namespaces,
        settings=settings,
        look_again=engine.worklist.look_again,
        look_at_all_again=engine.worklist.look_at_all_again,
    )


def _certificate(ports: Ports, settings: Settings, ctx: Context, worklist: Worklist) -> ServingCertificate | None:
    """Return the care for the certificate of the exchange; None if the operator does not issue it."""
    if not settings.tls_service:
        return None
    if settings.ca_file is not None:
        raise InvalidSettingError(
            "--tls-service makes a CA, and --ca-file names another one; leave one of the two flags out"
        )
    return ServingCertificate(
        ports.cluster,
        ctx,
        Names.of(settings.tls_service, settings.own_namespace, settings.public_urls),
        on_new_ca=worklist.look_at_all_again,
        on_expiry=ports.metrics.certificate_expiry.set,
    )


def _certificate_parts(certificate: ServingCertificate | None) -> list[ControllerPart]:
    """Return the chore of the certificate. It comes first: the first reconciliations need the CA."""
    return [] if certificate is None else [ControllerPart(reconcilers={}, chores=(certificate.chore,))]


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


def _issuer_requirement(cluster: Cluster, settings: Settings) -> Requirement:
    """Return what a replica waits for before it competes: the keyring is of its own issuer, or does not exist yet."""
    return Requirement(
        what="the issuer is that of the signing keys",
        check=partial(issuer_problem, cluster, namespace=settings.own_namespace, issuer=settings.iss),
        before_leading=True,
    )


def _keys_part(care: KeyCare, requirement: Requirement) -> ControllerPart:
    return ControllerPart(
        reconcilers={},
        requirements=(requirement,),
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
