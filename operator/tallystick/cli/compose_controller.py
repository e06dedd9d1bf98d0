"""Compose a controller from its engine, the features and the care for the signing keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tallystick.cli.settings import Settings
from tallystick.controller.controller import LEASE, Controller, ControllerSettings, Engine
from tallystick.controller.lease import LeaderElector, LeaseName
from tallystick.controller.part import ControllerContext, ControllerPart
from tallystick.controller.worklist import Worklist
from tallystick.errors import InvalidSettingError
from tallystick.feature import Feature, kinds_of
from tallystick.objects.context import Context
from tallystick.objects.ports import Audit, Clock, Cluster
from tallystick.objects.server_clock import ServerClock
from tallystick.runtime.chores import Chore, FirstRun
from tallystick.runtime.events import EventRecorder
from tallystick.runtime.metrics import Metrics
from tallystick.tokens.key_care import KeyCare, KeyPolicy
from tallystick.tokens.keyrings import REFRESH_SECONDS, Keyrings

KEY_CARE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The ports of a controller process.

    Attributes:
        cluster: The API server.
        lease_cluster: The API server by a connection that only the Lease uses.
        clock: Time.
        server_clock: The time of the API server, as far as it is known.
        audit: The audit log.
        metrics: The metrics of this process.
    """

    cluster: Cluster
    lease_cluster: Cluster
    clock: Clock
    server_clock: ServerClock
    audit: Audit
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Composed:
    """A controller, and the members that its features add to the response of `/readyz`."""

    controller: Controller
    ready: dict[str, str]


def compose_controller(world: World, settings: Settings, features: Sequence[Feature[Any]]) -> Composed:
    """Build a controller. It starts with `run`.

    Raises:
        InvalidSettingError: A file that the settings name cannot be used.
    """
    kinds, namespace = kinds_of(features), settings.own_namespace
    worklist = Worklist(kinds, world.clock, world.metrics)
    keyrings = Keyrings(world.cluster, world.clock, namespace=namespace, issuer=settings.iss)
    events = EventRecorder(
        world.cluster, world.clock, "tallystick-controller", on_suppressed=world.metrics.events_suppressed.inc
    )
    context = ControllerContext(
        ctx=Context(world.clock, world.server_clock, world.audit, events),
        cluster=world.cluster,
        cache=worklist.cache,
        keys=keyrings,
        namespace=namespace,
        issuer=settings.iss,
        external_urls=settings.public_urls,
        ca_pem=_read(settings.ca_file),
        settings=settings,
        look_again=worklist.look_again,
        look_at_all_again=worklist.look_at_all_again,
    )
    parts = [feature.controller(context) for feature in features]
    for part in parts:
        for gauge, reading in part.readings.items():
            world.metrics.read_gauge(gauge, reading)
    policy = KeyPolicy(settings.signing_algorithm, settings.key_max_age)
    care = KeyCare(
        keyrings,
        worklist.cache,
        kinds,
        policy,
        clock=world.clock,
        audit=world.audit,
        on_age=world.metrics.keyring_age.set,
    )
    engine = Engine(
        cluster=world.cluster,
        worklist=worklist,
        events=events,
        elector=LeaderElector(world.lease_cluster, world.clock, LeaseName(namespace, LEASE, settings.identity)),
        make_keyring=partial(keyrings.ensure, settings.signing_algorithm),
    )
    controller = Controller(engine, ControllerSettings(settings.watch_namespaces), [*parts, _keys_part(keyrings, care)])
    return Composed(controller, {name: value for part in parts for name, value in part.ready.items()})


def _keys_part(keyrings: Keyrings, care: KeyCare) -> ControllerPart:
    return ControllerPart(
        reconcilers={},
        chores=(
            Chore(every=REFRESH_SECONDS, run=keyrings.refresh, what="read the keyring"),
            Chore(
                every=KEY_CARE_SECONDS,
                run=care.run,
                what="care for the signing keys",
                # After every object was looked at: what a crash has left unrecorded names its key then. Not only after
                # the first interval: else a leader that changes often would never rotate by age.
                first_run=FirstRun.AFTER_FIRST_LOOKS,
            ),
        ),
    )


def _read(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidSettingError(f"--ca-file {path} cannot be read: {error.strerror}") from error
