"""Cluster keys: the kinds MasterKey and JoinKey."""

import secrets
from typing import Any

from tallystick.clusterkeys.admission import install_part
from tallystick.clusterkeys.api.join_key import JOIN_KEYS, JoinKey, JoinKeyState
from tallystick.clusterkeys.api.master_key import MASTER_KEYS, MasterKey, MasterKeyState
from tallystick.clusterkeys.command_line import COMMAND_LINE
from tallystick.clusterkeys.domain.join_key_copies import JOIN_KEY_COPY, SEALED_JOIN_KEY
from tallystick.clusterkeys.domain.master_key_secret import MASTER_KEY_SECRET
from tallystick.clusterkeys.domain.settings import ClusterKeySettings
from tallystick.clusterkeys.services.bootstrap import RETRY_SECONDS, Bootstrap
from tallystick.clusterkeys.services.join_key_index import JoinKeyIndex
from tallystick.clusterkeys.services.join_keys import JoinKeys
from tallystick.clusterkeys.services.master_keyring import MasterKeyring
from tallystick.clusterkeys.services.master_keys import MasterKeys
from tallystick.clusterkeys.services.provided_keys import ProvidedKeys
from tallystick.clusterkeys.services.provided_secrets import LOOK_SECONDS, ProvidedSecrets
from tallystick.controller.part import ControllerContext, ControllerPart
from tallystick.feature import Feature
from tallystick.objects.kind import Kind
from tallystick.runtime.chores import Chore, FirstRun
from tallystick.runtime.gauges import Gauge, Reading

Json = dict[str, Any]


def _metadata(name: str) -> Json:
    return {
        "name": name,
        "namespace": "default",
        "uid": "",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}\n"},
    }


def _ready(reason: str, message: str) -> Json:
    return {
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "message": message,
        "observedGeneration": 1,
        "reason": reason,
        "status": "True",
        "type": "Ready",
    }


_TYPICAL_MASTER_KEY: Json = {
    "metadata": _metadata("artifactory"),
    "spec": {"external": False, "serial": 1},
    "status": {
        "conditions": [_ready("KeyStored", "Secret default/-master-key holds the key; keep a copy of it")],
        "fingerprint": "mk-",
        "joinKeys": {"outdated": 0, "total": 1},
        "keySize": 256,
        "observedGeneration": 1,
        "serial": 1,
        "source": "Generated",
        "state": "Active",
    },
}
_TYPICAL_JOIN_KEY: Json = {
    "metadata": _metadata("jpd-") | {"finalizers": ["tallystick.dev/copies"]},
    "spec": {
        "masterKeyRef": {"name": "default"},
        "overlap": "10m",
        "serial": 1,
        "targets": [{"namespace": "default"}],
    },
    "status": {
        "conditions": [_ready("Shared", "2 of 2 Secrets hold the key; mount jpd--join-key")],
        "copies": {"inSync": 2, "total": 2},
        "fingerprint": "jk-",
        "keySize": 256,
        "keyVersion": 1,
        "observedGeneration": 1,
        "sealed": {"digest": "", "masterKey": "mk-"},
        "serial": 1,
        "source": "Generated",
        "state": "Active",
        "targets": [{"inSync": True, "keyVersion": 1, "namespace": "default", "secretName": "jpd--join-key"}],
    },
}

KINDS = (
    Kind(
        model=MasterKey,
        typical=_TYPICAL_MASTER_KEY,
        labeled_secrets=(MASTER_KEY_SECRET,),
        exchange=(),
        controller_home=("create",),
    ),
    Kind(
        model=JoinKey,
        typical=_TYPICAL_JOIN_KEY,
        labeled_secrets=(JOIN_KEY_COPY, SEALED_JOIN_KEY),
        exchange=(),
        paged=True,  # a rotation of a master key writes all of them, and their Secrets
        controller=("update",),  # to set and remove a finalizer
        controller_home=("create",),
    ),
)

MASTER_KEYS_BY_STATE = Gauge(
    name="tallystick_master_keys",
    help="Number of MasterKeys by state: pending, active, rotating or sealed.",
    label="state",
    values=tuple(state.lower() for state in MasterKeyState),
)
JOIN_KEYS_BY_STATE = Gauge(
    name="tallystick_join_keys",
    help="Number of JoinKeys by state: pending, active or replacing.",
    label="state",
    values=tuple(state.lower() for state in JoinKeyState),
)
JOIN_KEYS_OUTDATED = Gauge(
    name="tallystick_join_keys_outdated",
    help="Number of JoinKeys that are not sealed with the newest master key.",
)


def readings(master_keys: MasterKeys, join_keys: JoinKeyIndex) -> dict[Gauge, Reading]:
    """Return the figures of the gauges."""
    return {
        MASTER_KEYS_BY_STATE: lambda state: master_keys.count(state.capitalize()),
        JOIN_KEYS_BY_STATE: lambda state: join_keys.count(state.capitalize()),
        JOIN_KEYS_OUTDATED: lambda _: join_keys.outdated(),
    }


def _controller(context: ControllerContext[ClusterKeySettings]) -> ControllerPart:
    cluster, cache, ctx = context.cluster, context.cache, context.ctx
    provided = ProvidedSecrets(cluster, cache, context.watch_namespaces or ("",), context.look_again)
    index = JoinKeyIndex(cluster, cache, provided, context.look_again)
    keyring = MasterKeyring(cluster, cache, provided)
    random = secrets.token_bytes
    master_keys = MasterKeys(
        cluster, cache, keyring, index, provided, random=random, identity=context.identity, ctx=ctx
    )
    namespace, watched = context.namespace, context.watch_namespaces
    bootstrap = Bootstrap(cluster, namespace, context.settings, is_served=not watched or namespace in watched)
    join_keys = JoinKeys(cluster, cache, keyring, ProvidedKeys(cluster, provided), random, watched, ctx)
    return ControllerPart(
        reconcilers={MASTER_KEYS: master_keys, JOIN_KEYS: index.following(join_keys)},
        chores=(
            Chore(
                every=LOOK_SECONDS,
                run=provided.look,
                what="look for changed key Secrets",
                first_run=FirstRun.BEFORE_LEADING,
            ),
            Chore(
                every=RETRY_SECONDS,
                run=bootstrap.run,
                what="create the first keys",
                first_run=FirstRun.BEFORE_LEADING,
            ),
        ),
        readings=readings(master_keys, index),
    )


FEATURE = Feature(
    kinds=KINDS,
    settings=ClusterKeySettings,
    gauges=(MASTER_KEYS_BY_STATE, JOIN_KEYS_BY_STATE, JOIN_KEYS_OUTDATED),
    controller=_controller,
    installation=lambda installation, _: install_part(installation),
    flags=COMMAND_LINE.flags,
    command_groups=COMMAND_LINE.groups,
)
