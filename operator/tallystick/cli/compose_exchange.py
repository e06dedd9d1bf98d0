"""Compose the parts of one exchange replica from the features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.cli.settings import Settings
from tallystick.errors import NotYetError
from tallystick.exchange.app import api_of
from tallystick.exchange.app_context import AppContext
from tallystick.exchange.endpoint import Route
from tallystick.exchange.limits import FailureLimiter, FailureLimits
from tallystick.exchange.oauth_endpoints import REVOKE
from tallystick.exchange.part import BackgroundTask, ExchangeContext, exchange_parts
from tallystick.exchange.senders import Senders
from tallystick.feature import Feature, token_types_of
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import Cluster, Ids
from tallystick.runtime.health import Health
from tallystick.runtime.metrics import Metrics
from tallystick.runtime.renewed_files import RenewedFiles
from tallystick.tokens.callers import Callers
from tallystick.tokens.introspection import Introspection
from tallystick.tokens.keyrings import Keyrings
from tallystick.tokens.lost_keys import missing_keys_text
from tallystick.tokens.proofs import Proofs
from tallystick.tokens.revocation import Revocation
from tallystick.tokens.signer import Signer, Verifier
from tallystick.tokens.token_type import Judge
from tallystick.tokens.wrong_types import WrongTypes


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a replica."""

    cluster: Cluster
    keyrings: Keyrings
    ctx: Context
    metrics: Metrics
    ids: Ids
    files: RenewedFiles


@dataclass(frozen=True, slots=True)
class Replica:
    """One exchange replica: the context of its own handlers, and the routes and background work of the features.

    `health` reports whether it has signing keys.
    """

    context: AppContext
    routes: Sequence[Route]
    background: Sequence[BackgroundTask]
    health: Health


def compose_exchange(ports: Ports, settings: Settings, features: Sequence[Feature[Any]]) -> Replica:
    """Build the shared context, and the parts of all features."""
    ctx, keyrings, types = ports.ctx, ports.keyrings, token_types_of(features)
    signer = Signer(keyrings, settings.iss)
    verifier = Verifier(signer, types)
    reader = FreshReader(ports.cluster, ctx.clock, max_staleness=settings.max_staleness)
    callers = Callers(ports.cluster, ctx.clock, issuer=settings.iss)
    judges: dict[str, Judge] = {}
    of_features: ExchangeContext[Any] = ExchangeContext(
        ctx=ctx,
        cluster=ports.cluster,
        reader=reader,
        signer=signer,
        ids=ports.ids,
        namespace=settings.own_namespace,
        replica=settings.replica,
        external_urls=settings.public_urls,
        token_types=types,
        wrong_types=WrongTypes(verifier, judges, ctx),
        settings=settings,
        callers=callers,
        files=ports.files,
    )
    parts = exchange_parts([feature.exchange for feature in features], of_features, judges)
    context = AppContext(
        api=api_of(feature.api for feature in features),
        issuer=settings.iss,
        token_types=types,
        introspection=Introspection(verifier, judges, callers, ctx),
        revocation=Revocation(verifier, judges, _revocation_proofs(settings, ctx), ctx),
        callers=callers,
        keys=keyrings,
        metrics=ports.metrics,
        senders=Senders(
            verifier,
            callers,
            ctx.clock,
            FailureLimiter(ctx.clock, FailureLimits.of_burst(settings.failures_per_source)),
            FailureLimiter(ctx.clock),
        ),
        clock=ctx.clock,
        ids=ports.ids,
    )
    ports.metrics.keyring_lost.set_function(lambda: float(keyrings.loss is not None))
    ports.metrics.missing_keys.set_function(lambda: float(len(keyrings.noted_missing)))
    routes = [route for part in parts for route in part.routes]
    health = Health(
        why_not_ready=lambda: _why_not_ready(keyrings),
        ready=lambda: {name: value for part in parts for name, value in part.ready.items()} | _remarks(keyrings),
        registry=ports.metrics.registry,
    )
    return Replica(context, routes, [task for part in parts for task in part.background], health)


def _revocation_proofs(settings: Settings, ctx: Context) -> Proofs:
    """Accept proofs for each public URL of the revocation endpoint, and for the one in the discovery document."""
    bases = dict.fromkeys((settings.iss, *settings.public_urls))
    return Proofs(tuple(base + REVOKE.path for base in bases), ctx.clock, ctx.audit, "revoke")


def _remarks(keyrings: Keyrings) -> dict[str, str]:
    """Report lost keys, and the missing ones as the leader has noted them: the exchange itself lists no objects."""
    if keyrings.loss is not None:
        return {"keyring": keyrings.loss.reason}
    missing = keyrings.noted_missing
    return {"signingKeys": missing_keys_text(missing)} if missing else {}


def _why_not_ready(keyrings: Keyrings) -> str | None:
    try:
        keyrings.keyring()
    except NotYetError as problem:
        return problem.message
    return None
