"""ConnectionConfigurations as the controller leaves them, with tokens that are good, and what may become of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS, ConnectionConfiguration
from tallystick.connections.domain.secret import slot_key
from tallystick.connections.domain.slots import new_tokens, on_record
from tallystick.connections.services.issuing import ConnectionIssuer
from tallystick.objects.held_secrets import held_token
from tests.fakes import FakeCluster

Json = dict[str, Any]

NAMESPACE, CONNECTION = "edge", "dc-west"


@dataclass(frozen=True, slots=True)
class Connected:
    """One of them: its uid, its tokens by slot, and their ids."""

    uid: str
    jwts: dict[str, str]
    token_ids: dict[str, str]


def connected(
    cluster: FakeCluster,
    issuer: ConnectionIssuer,
    now: datetime,
    *,
    slots: Sequence[str] = ("default",),
    pending: Sequence[str] = (),
    namespace: str = NAMESPACE,
    name: str = CONNECTION,
    **spec: Any,
) -> Connected:
    """Store a ConnectionConfiguration whose slots have tokens, the last one the newest."""
    listed = [{"name": slot} for slot in slots]
    body: Json = {
        "metadata": {"name": name, "namespace": namespace, "generation": 1},
        "spec": {"deploymentType": "Kubernetes", "tokens": listed, **spec},
    }
    empty = ConnectionConfiguration.model_validate(cluster.put(CONNECTION_CONFIGURATIONS, body))
    key_id = issuer.keyring.signing_key(now).key_id
    tokens = new_tokens(empty, slots, key_id=key_id, issuer=issuer.issuer, now=now)
    states = {token.slot: "Pending" if token.slot in pending else "Active" for token in tokens}
    status = {
        "observedGeneration": 1,
        "lastSerial": len(tokens),
        "tokens": [{**token.to_json(), "state": states[token.slot]} for token in on_record(tokens)],
    }
    stored = cluster.edit(CONNECTION_CONFIGURATIONS, namespace, name, lambda found: found.update(status=status))
    configuration = ConnectionConfiguration.model_validate(stored)
    secret = issuer.connection_secret(configuration, issuer.connection_tokens(configuration))
    assert secret is not None
    jwts = {slot: held_token(secret, slot_key(slot)) or "" for slot in slots}
    return Connected(stored["metadata"]["uid"], jwts, {token.slot: token.token_id for token in tokens})


# What may become of it.


def record(cluster: FakeCluster, slot: str = "default", /, **changes: Any) -> None:
    """Change what the status says of a slot's token, as the controller does."""

    def change(body: Json) -> None:
        for token in body["status"]["tokens"]:
            if token["slot"] == slot:
                token.update(changes)

    cluster.edit(CONNECTION_CONFIGURATIONS, NAMESPACE, CONNECTION, change)


def order(cluster: FakeCluster, **spec: Any) -> None:
    """Change the spec, as a user does; no controller runs."""
    cluster.edit(CONNECTION_CONFIGURATIONS, NAMESPACE, CONNECTION, lambda body: body["spec"].update(spec))


def going(cluster: FakeCluster) -> None:
    """Begin to delete it, while somebody's finalizer holds it."""
    stamp = {"deletionTimestamp": "2030-01-01T12:00:00Z"}
    cluster.edit(CONNECTION_CONFIGURATIONS, NAMESPACE, CONNECTION, lambda body: body["metadata"].update(stamp))


def gone(cluster: FakeCluster) -> None:
    cluster.remove(CONNECTION_CONFIGURATIONS, NAMESPACE, CONNECTION)


def made_again(cluster: FakeCluster) -> None:
    """Delete it and apply it again: all is the same but its uid."""
    body = cluster.peek(CONNECTION_CONFIGURATIONS, NAMESPACE, CONNECTION)
    assert body is not None
    gone(cluster)
    del body["metadata"]["uid"]
    cluster.put(CONNECTION_CONFIGURATIONS, body)
