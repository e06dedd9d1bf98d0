"""Put CRDs, policies and RBAC into a cluster, and wait until they behave (S6).

An accepted policy is in force only some seconds later, so nothing here trusts an answer to an apply: a dry run shows
what the API server does. With several API servers a dry run speaks for the one that answered it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from tallystick.api.core import SELF_SUBJECT_REVIEWS
from tallystick.api.master_token import MASTER_TOKENS
from tallystick.api.meta import API_VERSION, Resource
from tallystick.api.pairing_token import PAIRING_TOKENS
from tallystick.domain.errors import TallystickError
from tallystick.domain.requester import GUARD_REFUSES_FORGED, RequesterMode
from tallystick.install.crds import crds
from tallystick.install.installation import Installation
from tallystick.install.kinds import CRDS, resource_of
from tallystick.install.policies import GUARD_IS_IN_FORCE, GUARD_PROBE, WRITERS_REFUSE_CREATE, policies
from tallystick.install.rbac import rbac
from tallystick.services.ports import ConflictError, NotFoundError, RefusedError, UnavailableError

Json = dict[str, Any]
Say = Callable[[str], None]
Probe = Callable[[], Awaitable[bool]]

FIELD_MANAGER = "tallystick-install"
DEADLINE_SECONDS = 30.0
POLL_SECONDS = 0.2

_FORGED = "tallystick:nobody"


class InstallationError(TallystickError):
    """The cluster cannot take the installation, or does not behave as it should. The text says what is missing."""


class Target(Protocol):
    """What an installation needs of the API server; its writes go by our field manager `tallystick-install`."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Read one object."""
        ...

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        """Create, or say what a create would have stored."""
        ...

    async def apply(self, resource: Resource, body: Json) -> Json:
        """Server-side apply, by force."""
        ...


async def install(
    cluster: Target, installation: Installation, say: Say, *, deadline_seconds: float = DEADLINE_SECONDS
) -> None:
    """Install, and return once kinds and policies are seen to behave. To do it again changes nothing.

    Args:
        cluster: the cluster, as an administrator.
        installation: what to install.
        say: is told each step in a few words.
        deadline_seconds: how long each wait may take.

    Raises:
        InstallationError: something is not served, or not in force in time.
        ClusterError: the API server refused an object, or did not answer.
    """
    definitions = crds()
    await _apply(cluster, definitions)
    for definition in definitions:
        name = definition["metadata"]["name"]
        await _wait(f"CRD {name} is established", partial(_established, cluster, name), say, deadline_seconds)
    # RBAC first: it holds the namespace in which the probes are tried.
    await _apply(cluster, [*rbac(installation), *policies(installation)])
    for what, probe in _probes(cluster, installation).items():
        await _wait(what, probe, say, deadline_seconds)


async def _apply(cluster: Target, objects: list[Json]) -> None:
    for body in objects:
        try:
            await cluster.apply(resource_of(body), body)
        except NotFoundError as error:
            raise InstallationError(_not_served(body)) from error


def _not_served(body: Json) -> str:
    kind = body["kind"]
    if kind.startswith("MutatingAdmissionPolicy"):
        return f"this cluster does not serve {kind} ({body['apiVersion']}): install with requester ServiceAccount"
    if kind.startswith("ValidatingAdmissionPolicy"):
        return f"this cluster does not serve {kind} ({body['apiVersion']}): Kubernetes 1.30 or newer is needed"
    namespace = body["metadata"].get("namespace")
    where = f"namespace {namespace}" if namespace else "this cluster"
    return f"{kind} {body['metadata']['name']} cannot be made: {where} does not exist or does not serve it"


async def _wait(what: str, probe: Probe, say: Say, deadline_seconds: float) -> None:
    say(f"waiting until {what}")
    missing = "no answer yet"
    try:
        async with asyncio.timeout(deadline_seconds):
            # Nothing could set an Event: no API server says when a policy has come into force.
            while missing := await _why_not(probe):  # noqa: ASYNC110 (see above)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise InstallationError(
            f"after {deadline_seconds:g} s it is still not so that {what} ({missing}); "
            "look at the API server's log, then install again"
        ) from error


async def _why_not(probe: Probe) -> str:
    """Ask once; '' means that it is so. What is still on its way answers 404, 409 or 503 meanwhile."""
    try:
        return "" if await probe() else "not yet in force"
    except (NotFoundError, ConflictError, UnavailableError) as error:
        return str(error)


def _probes(cluster: Target, installation: Installation) -> dict[str, Probe]:
    """Say what must behave, and how that is seen."""
    forged_master = _master_token(installation)
    guarded = _pairing_token(installation, GUARD_PROBE)
    probes: dict[str, Probe] = {
        "only Tallystick may make master tokens and write a status": partial(
            _refused, cluster, MASTER_TOKENS, forged_master, WRITERS_REFUSE_CREATE
        ),
        "the guard of requesters and use cases is in force": partial(
            _refused, cluster, PAIRING_TOKENS, guarded, GUARD_IS_IN_FORCE
        ),
    }
    if installation.requester is RequesterMode.POLICY:
        probes["the requester is stamped by admission"] = partial(_stamped, cluster, installation)
    return probes


async def _established(cluster: Target, name: str) -> bool:
    definition = await cluster.get(CRDS, "", name)
    conditions = definition.get("status", {}).get("conditions") or ()  # null at first
    return {"Established", "NamesAccepted"} <= {item["type"] for item in conditions if item["status"] == "True"}


async def _refused(cluster: Target, resource: Resource, body: Json, text: str) -> bool:
    """Tell whether a dry-run create is refused in the policy's own words."""
    try:
        await cluster.create(resource, body, dry_run=True)
    except RefusedError as error:
        if text in str(error):
            return True
        raise
    return False


async def _stamped(cluster: Target, installation: Installation) -> bool:
    """Tell whether a forged name comes back as the caller's own. The guard's words mean: not yet."""
    review = await cluster.create(SELF_SUBJECT_REVIEWS, _review())
    own_name = review["status"]["userInfo"]["username"]
    try:
        stored = await cluster.create(PAIRING_TOKENS, _pairing_token(installation, "tallystick-probe"), dry_run=True)
    except RefusedError as error:
        if GUARD_REFUSES_FORGED in str(error):
            return False
        raise
    return bool(stored["spec"]["requestedBy"] == own_name)


def _review() -> Json:
    return {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": SELF_SUBJECT_REVIEWS.kind, "metadata": {}}


def _pairing_token(installation: Installation, name: str) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": PAIRING_TOKENS.kind,
        "metadata": {"name": name, "namespace": installation.namespace},
        "spec": {"purpose": "DeviceProject", "projectKey": "probe", "requestedBy": _FORGED},
    }


def _master_token(installation: Installation) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": MASTER_TOKENS.kind,
        "metadata": {"name": "tallystick-probe", "namespace": installation.namespace},
        "spec": {
            "tokenID": "probe",
            "kid": "probe",
            "useCase": "probe",
            "scope": [],
            "audience": [],
            "subject": _FORGED,
            "issuedTime": "2026-01-01T00:00:00Z",
            "expirationTime": "2026-01-01T00:00:01Z",
            "deletionPolicy": "Revoke",
        },
    }
