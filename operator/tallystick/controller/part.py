"""The parts that a feature adds to the controller: reconcilers, chores and the figures of its gauges."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from tallystick.objects.context import Context
from tallystick.objects.ports import Cache, Cluster
from tallystick.objects.result import Result
from tallystick.runtime.chores import Chore
from tallystick.runtime.gauges import Gauge, Reading
from tallystick.runtime.renewed_files import RenewedFiles
from tallystick.runtime.requirements import Requirement
from tallystick.schema.meta import Resource
from tallystick.tokens.signer import Signer

S = TypeVar("S", bound=BaseModel)


class ObjectReconciler(Protocol):
    """Reconciles the objects of one kind, one at a time."""

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Do the work that is due now, and return when to look again. May raise ClusterError or NotYetError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerContext(Generic[S]):
    """The parts of a controller process that a feature may use.

    Attributes:
        ctx: The clock, the server's clock, the audit log and the events.
        cluster: The API server.
        cache: The objects as the watches last read them.
        signer: Signs and verifies tokens.
        namespace: The operator's own namespace.
        identity: The name of this process, as its Lease has it while it leads.
        watch_namespaces: The namespaces that the operator serves; empty means all.
        external_urls: The URLs of the exchange; at least one, and the first is the default.
        ca_pem: Returns the CA of the exchange's certificate (PEM), for Secrets; None if it has none of its own.
        files: Reads files again that another program renews, on each replica.
        settings: The feature's own settings.
        look_again: Reconciles one object again, after the objects that have changed.
        look_at_all_again: Reconciles every object again, after the objects that have changed.
    """

    ctx: Context
    cluster: Cluster
    cache: Cache
    signer: Signer
    namespace: str
    external_urls: tuple[str, ...]
    ca_pem: Callable[[], str | None]
    settings: S
    look_again: Callable[[Resource, str, str], None]
    look_at_all_again: Callable[[], None]
    files: RenewedFiles = field(default_factory=RenewedFiles)
    watch_namespaces: tuple[str, ...] = ()
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerPart:
    """The parts that a feature adds to the controller.

    Attributes:
        reconcilers: One for each kind of the feature.
        followers: For kinds of other features: each runs after the reconciler of the kind.
        chores: Work that the leader repeats.
        readings: The figures of the feature's gauges.
        ready: The members that it adds to the response of `/readyz`, such as a digest by which replicas are compared.
        requirements: The facts that each replica waits for before it is ready.
    """

    reconcilers: Mapping[Resource, ObjectReconciler]
    followers: Mapping[Resource, ObjectReconciler] = field(default_factory=dict)
    chores: Sequence[Chore] = ()
    readings: Mapping[Gauge, Reading] = field(default_factory=dict)
    ready: Mapping[str, str] = field(default_factory=dict)
    requirements: Sequence[Requirement] = ()
