"""The bare programs of W6 and wK: JoinKeys that are shared with one other namespace, and sealed again at a rotation.

They make the calls of the operator, one after the other for each object, and compute the same: a sealed copy is opened,
sealed under the new master key, and opened again before it is written.
"""

import base64
import json
import os
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.bench.bare_client import (
    API_VERSION,
    GROUP,
    BareClient,
    Json,
    create_until,
    each,
    owned_by,
    ready,
    timed,
)

KIND = "JoinKey"
MASTER_KEY = "default"


@dataclass(frozen=True, slots=True)
class Master:
    """A master key, its fingerprint and its cipher."""

    fingerprint: str
    cipher: AESGCM = field(repr=False)

    @classmethod
    def of(cls, key_hex: str) -> "Master":
        key = bytes.fromhex(key_hex)
        return cls(_fingerprint("mk", "master-key", key), AESGCM(key))


async def create_join_keys(kubeconfig: str, namespace: str, count: int, target: str | None) -> Json:
    """The load: create 32 at a time, and watch until the operator has made all of them Active."""
    selector = "status.state%3DActive"

    def make(number: int) -> Json:
        return _join_key(number, target)

    return {"seconds": await create_until(kubeconfig, _path(namespace), make, count=count, selector=selector)}


async def share(
    kubeconfig: str, controller: str, namespace: str, count: int, target: str | None, master_key: str
) -> Json:
    """wK's limit: create 32 at a time; each worker shares the key as soon as its create has answered."""
    master = Master.of(master_key)
    async with BareClient(kubeconfig) as user, BareClient(controller) as writer:

        async def one(number: int) -> None:
            created = await user.call("POST", _path(namespace), _join_key(number, target))
            await _share(writer, created, master, target)

        return {"seconds": await timed(each(one, range(count)))}


async def rotate(kubeconfig: str, namespace: str) -> Json:
    """The load of W6: ask for a new master key, and watch until no join key is sealed with another one."""
    kind = f"{GROUP}/namespaces/{namespace}/masterkeys"
    path = f"{kind}/{MASTER_KEY}"
    async with BareClient(kubeconfig) as user:
        found = await user.call("GET", path)
        serial = found["spec"]["serial"] + 1

        async def until_sealed() -> None:
            await user.call("PUT", path, {**found, "spec": {**found["spec"], "serial": serial}})
            async for changed in user.objects(f"{kind}?watch=1&fieldSelector=metadata.name%3D{MASTER_KEY}"):
                status = changed["status"]
                if status["serial"] == serial and not status["joinKeys"]["outdated"]:
                    return

        return {"seconds": await timed(until_sealed())}


async def reseal(kubeconfig: str, controller: str, namespace: str, before: str, after: str) -> Json:
    """W6's limit: for each object read its sealed copy, seal the key again, and write the copy and the status.

    The objects are listed before: the operator has them in its cache, too. `round_cpu` begins after that.
    """
    masters = Master.of(before), Master.of(after)
    async with BareClient(kubeconfig) as user, BareClient(controller) as writer:
        known = await user.list(_path(namespace))
        begun = time.process_time()

        async def one(found: Json) -> None:
            await _reseal(writer, found, *masters)

        seconds = await timed(each(one, known))
        return {"seconds": seconds, "round_cpu": time.process_time() - begun, "count": len(known)}


async def _share(writer: BareClient, created: Json, master: Master, target: str | None) -> None:
    """Write the sealed copy, the finalizer, the copies and the status."""
    meta = created["metadata"]
    join_key = os.urandom(32)
    sealed = _seal(join_key.hex(), master, meta)
    secrets = "/api/v1/namespaces/{}/secrets"
    body = _sealed_secret(meta, sealed, master)
    await writer.call("POST", secrets.format(meta["namespace"]), body)
    path = f"{_path(meta['namespace'])}/{meta['name']}"
    if target is not None:
        held = {**created, "metadata": {**meta, "finalizers": ["tallystick.dev/copies"]}}
        created = await writer.call("PUT", path, held)
    fingerprint = _fingerprint("jk", "join-key", join_key)
    for namespace in (meta["namespace"], *([target] if target is not None else [])):
        copy = _copy(meta, join_key.hex(), fingerprint, namespace)
        await writer.call("POST", secrets.format(namespace), copy)
    status = _status(created, fingerprint, master, _digest(body), target)
    await writer.call("PUT", f"{path}/status", {**created, "status": status})


async def _reseal(writer: BareClient, known: Json, before: Master, after: Master) -> None:
    meta = known["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/secrets/{meta['name']}-join-key-sealed"
    held = await writer.call("GET", path)
    text = base64.b64decode(held["data"]["join-key.jwe"]).decode()
    body = {**held, **_sealed_secret(meta, _seal(_opened(text, before), after, meta), after)}
    body["metadata"] = {**held["metadata"], **body["metadata"]}
    await writer.call("PUT", path, body)
    sealed = {"digest": _digest(body), "masterKey": after.fingerprint}
    path = f"{_path(meta['namespace'])}/{meta['name']}/status"
    await writer.call("PUT", path, {**known, "status": {**known["status"], "sealed": sealed}})


def _path(namespace: str) -> str:
    return f"{GROUP}/namespaces/{namespace}/joinkeys"


def _join_key(number: int, target: str | None) -> Json:
    spec = {"targets": [{"namespace": target}]} if target is not None else {}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": f"k{number}"}, "spec": spec}


def _seal(join_key: str, master: Master, meta: Json) -> str:
    """Return the sealed key, opened again before anybody stores it."""
    about = {"kind": KIND, "name": meta["name"], "ns": meta["namespace"], "uid": meta["uid"], "version": 1}
    header = {"alg": "dir", "enc": "A256GCM", "kid": master.fingerprint, "tallystick": about, "typ": "join-key+jwe"}
    protected = _b64(json.dumps(header, separators=(",", ":")).encode())
    iv = os.urandom(12)
    sealed = master.cipher.encrypt(iv, join_key.encode(), protected.encode())
    text = f"{protected}..{_b64(iv)}.{_b64(sealed[:-16])}.{_b64(sealed[-16:])}"
    if _opened(text, master) != join_key:
        raise RuntimeError("a sealed key cannot be opened again")
    return text


def _opened(text: str, master: Master) -> str:
    protected, _, iv, ciphertext, tag = text.split(".")
    if json.loads(_raw(protected))["kid"] != master.fingerprint:
        raise RuntimeError("sealed with another master key")
    return master.cipher.decrypt(_raw(iv), _raw(ciphertext) + _raw(tag), protected.encode()).decode()


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _fingerprint(prefix: str, purpose: str, key: bytes) -> str:
    derived = HKDF(SHA256(), 12, salt=None, info=f"tallystick.dev/{purpose}/fingerprint/v1".encode()).derive(key)
    return f"{prefix}-{derived.hex()}"


def _sealed_secret(meta: Json, sealed: str, master: Master) -> Json:
    labels = _labels(meta, master.fingerprint)
    owner = [owned_by(KIND, meta)]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{meta['name']}-join-key-sealed", "labels": labels, "ownerReferences": owner},
        "type": "tallystick.dev/sealed-join-key",
        "data": {"join-key.jwe": base64.b64encode(sealed.encode()).decode()},
    }


def _copy(meta: Json, join_key: str, fingerprint: str, namespace: str) -> Json:
    values = {"join-key": join_key, "key-id": fingerprint, "cluster-name": meta["name"]}
    owner = {"ownerReferences": [owned_by(KIND, meta)]} if namespace == meta["namespace"] else {}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{meta['name']}-join-key", "labels": _labels(meta, fingerprint), **owner},
        "type": "tallystick.dev/join-key",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def _labels(meta: Json, key_id: str) -> Json:
    return {
        "app.kubernetes.io/managed-by": "tallystick",
        "tallystick.dev/kind": KIND,
        "tallystick.dev/name": meta["name"],
        "tallystick.dev/namespace": meta["namespace"],
        "tallystick.dev/uid": meta["uid"],
        "tallystick.dev/key-id": key_id,
    }


def _digest(secret: Json) -> str:
    digest = Hash(SHA256())
    digest.update(json.dumps([secret["type"], secret["data"]], sort_keys=True).encode())
    return _b64(digest.finalize())


def _status(created: Json, fingerprint: str, master: Master, digest: str, target: str | None) -> Json:
    meta, now = created["metadata"], int(time.time())
    where = [meta["namespace"], *([target] if target is not None else [])]
    name = f"{meta['name']}-join-key"
    return {
        "observedGeneration": 1,
        "state": "Active",
        "serial": 1,
        "fingerprint": fingerprint,
        "keySize": 256,
        "source": "Generated",
        "keyVersion": 1,
        "sealed": {"masterKey": master.fingerprint, "digest": digest},
        "copies": {"total": len(where), "inSync": len(where)},
        "targets": [{"namespace": one, "secretName": name, "inSync": True, "keyVersion": 1} for one in where],
        "conditions": [ready("True", "Shared", f"{len(where)} of {len(where)} Secrets hold the key", now)],
    }
