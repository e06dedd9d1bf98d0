"""The bare programs of wC: ConnectionConfigurations from their create to Ready.

The operator puts a token on record before the Secret holds it, so that a crash leaves nothing that is not on record:
three writes. With two, the Secret and one status, a crash between them leaves a token that nobody knows of.
"""

import base64
import hashlib
import json
import time
import uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.bench.bare_client import (
    API_VERSION,
    GROUP,
    BareClient,
    Json,
    create_until,
    each,
    owned_by,
    ready,
    rfc3339,
    timed,
)

KIND = "ConnectionConfiguration"
KEY_ID = "x" * 43
NO_ONE = {"good": 0, "warning": 0, "problem": 0, "outdated": 0, "unlisted": 0}


async def create_connections(kubeconfig: str, namespace: str, count: int) -> Json:
    """The load of wC: create 32 at a time, and watch until the operator has made a token of each Active."""
    selector = "status.currentTokenID%21%3D"  # it is not empty
    seconds = await create_until(kubeconfig, _path(namespace), _connection, count=count, selector=selector)
    return {"seconds": seconds}


async def connect(kubeconfig: str, controller: str, namespace: str, count: int, *, plans: bool) -> Json:
    """wC's limit: create 32 at a time; each worker writes what follows as soon as its create has answered.

    With `plans` the three writes of the protocol, one after the other: plan, Secret, status. Without, the last two.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    async with BareClient(kubeconfig) as user, BareClient(controller) as writer:

        async def one(number: int) -> None:
            created = await user.call("POST", _path(namespace), _connection(number))
            await _connect(writer, created, key, plans=plans)

        return {"seconds": await timed(each(one, range(count)))}


async def _connect(writer: BareClient, created: Json, key: ec.EllipticCurvePrivateKey, *, plans: bool) -> None:
    meta, now = created["metadata"], int(time.time())
    path = f"{_path(meta['namespace'])}/{meta['name']}/status"
    claims = _claims(created, now)
    if plans:
        created = await writer.call("PUT", path, {**created, "status": _planned(claims, now)})
    signed_jwt = jwt.encode(claims, key, algorithm="ES256", headers={"typ": "connection+jwt", "kid": KEY_ID})
    await writer.call("POST", f"/api/v1/namespaces/{meta['namespace']}/secrets", _secret(meta, claims, signed_jwt))
    await writer.call("PUT", path, {**created, "status": _active(claims, now)})


def _path(namespace: str) -> str:
    return f"{GROUP}/namespaces/{namespace}/connectionconfigurations"


def _connection(number: int) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": f"c{number}"},
        "spec": {"deploymentType": "Kubernetes"},
    }


def _claims(created: Json, now: int) -> Json:
    meta = created["metadata"]
    return {
        "iss": "https://127.0.0.1:8443",
        "sub": f"connection:{meta['namespace']}/{meta['name']}",
        "aud": "https://127.0.0.1:8443",
        "scope": "protector",
        "iat": now,
        "jti": str(uuid.uuid4()),
        "deployment_type": created["spec"]["deploymentType"],
        "tallystick": {"kind": KIND, "ns": meta["namespace"], "name": meta["name"], "uid": meta["uid"], "serial": 1},
    }


def _secret(meta: Json, claims: Json, signed_jwt: str) -> Json:
    values = {
        "token": signed_jwt,
        "token-id": claims["jti"],
        "token.default": signed_jwt,
        "deployment-type": claims["deployment_type"],
        "heartbeat-url": f"{claims['iss']}/v1/connections/{meta['namespace']}/{meta['name']}/heartbeat",
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"{meta['name']}-connection-token",
            "labels": {
                "app.kubernetes.io/managed-by": "tallystick",
                "tallystick.dev/kind": KIND,
                "tallystick.dev/name": meta["name"],
                "tallystick.dev/token-id": claims["jti"],
            },
            "ownerReferences": [owned_by(KIND, meta)],
        },
        "type": "tallystick.dev/connection-token",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def _planned(claims: Json, now: int) -> Json:
    said = ready("False", "Issuing", "the controller is issuing the token of slot default", now)
    return {**_status(claims, "Pending", now), "activeTokens": 0, "conditions": [said, {**said, "type": "Reconciling"}]}


def _active(claims: Json, now: int) -> Json:
    said = ready("True", "Issued", "the Secret holds the token of slot default", now)
    return {
        **_status(claims, "Active", now),
        "activeTokens": 1,
        "currentTokenID": claims["jti"],
        "conditions": [said],
    }


def _status(claims: Json, state: str, now: int) -> Json:
    token = {
        "slot": "default",
        "tokenID": claims["jti"],
        "serial": 1,
        "kid": KEY_ID,
        "state": state,
        "claimsDigest": hashlib.sha256(json.dumps(claims, sort_keys=True).encode()).hexdigest(),
        "issuedTime": rfc3339(now),
        "instances": 0,
    }
    return {"observedGeneration": 1, "lastSerial": 1, "tokens": [token], "vacantSlots": [], "instances": NO_ONE}
