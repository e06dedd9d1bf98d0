"""The limit programs: bare clients that make the same calls as the operator, with nothing around them.

Each runs as a process of its own, so that its CPU can be told apart, and prints one line of JSON:

    python -m tests.bench.bare issue '{"kubeconfig": ..., ...}'

They share no code with the operator but the reading of a kubeconfig. What each says and does is in the modules beside
this one for ConnectionConfigurations, heartbeats and cluster keys, and here for pairing.
"""

import asyncio
import base64
import itertools
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.bench.bare_client import (
    API_VERSION,
    AT_ONCE,
    GROUP,
    SOURCES,
    BareClient,
    Json,
    create_until,
    each,
    from_sources,
    owned_by,
    ready,
    rfc3339,
    timed,
)
from tests.bench.bare_connections import connect, create_connections
from tests.bench.bare_heartbeats import beat
from tests.bench.bare_keys import create_join_keys, reseal, rotate, share

TTL = "24h"


async def issue(kubeconfig: str, controller: str, namespace: str, count: int) -> Json:
    """W1's limit: create 32 at a time; each worker issues what it created as soon as its create has answered."""
    key = ec.generate_private_key(ec.SECP256R1())
    async with BareClient(kubeconfig) as user, BareClient(controller) as writer:

        async def one(number: int) -> None:
            created = await user.call("POST", f"{GROUP}/namespaces/{namespace}/pairingtokens", pairing_token(number))
            await _issue(writer, created, key)

        return {"seconds": await timed(each(one, range(count)))}


async def _issue(writer: BareClient, created: Json, key: ec.EllipticCurvePrivateKey) -> None:
    meta = created["metadata"]
    now = int(time.time())
    claims = {
        "iss": "https://127.0.0.1:8443",
        "sub": created["spec"]["requestedBy"],
        "aud": "https://127.0.0.1:8443",
        "scope": "service-trust/pairing/mission-control",
        "iat": now,
        "exp": now + 86400,
        "jti": str(uuid.uuid4()),
        "ext": {"base_url": "https://127.0.0.1:8443", "exchange_url": "https://127.0.0.1:8443/oauth2/token"},
        "tallystick": {"kind": "PairingToken", "ns": meta["namespace"], "name": meta["name"], "uid": meta["uid"]},
    }
    token = jwt.encode(claims, key, algorithm="ES256", headers={"typ": "pairing+jwt", "kid": "x" * 43})
    await writer.call("POST", f"/api/v1/namespaces/{meta['namespace']}/secrets", _secret(meta, claims, token))
    body = {**created, "status": _active(claims, now)}
    await writer.call("PUT", f"{GROUP}/namespaces/{meta['namespace']}/pairingtokens/{meta['name']}/status", body)


def pairing_token(number: int) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "PairingToken",
        "metadata": {"name": f"t{number}"},
        "spec": {"purpose": "Service", "useCase": "mission-control", "ttl": TTL},
    }


def _secret(meta: Json, claims: Json, token: str) -> Json:
    values = {"token": token, "token-id": claims["jti"], "expires-in": "86400", "expires-at": rfc3339(claims["exp"])}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"{meta['name']}-pairing-token",
            "labels": {"app.kubernetes.io/managed-by": "tallystick", "tallystick.dev/name": meta["name"]},
            "ownerReferences": [owned_by("PairingToken", meta)],
        },
        "type": "tallystick.dev/pairing-token",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def _active(claims: Json, now: int) -> Json:
    return {
        "observedGeneration": 1,
        "state": "Active",
        "serial": 1,
        "tokenID": claims["jti"],
        "kid": "x" * 43,
        "subject": claims["sub"],
        "claimsDigest": "0" * 64,
        "issuedTime": rfc3339(now),
        "expirationTime": rfc3339(claims["exp"]),
        "expiresIn": 86400,
        "conditions": [ready("True", "Active", "the token can be redeemed once", now)],
    }


async def create(kubeconfig: str, namespace: str, count: int) -> Json:
    """The load of W1: create 32 at a time, and watch until the operator has made all of them Active."""
    path = f"{GROUP}/namespaces/{namespace}/pairingtokens"
    selector = "status.state%3DActive"
    return {"seconds": await create_until(kubeconfig, path, pairing_token, count=count, selector=selector)}


async def put(kubeconfig: str, namespace: str, count: int) -> Json:
    """The load of wF: create 32 at a time, and wait for no operator."""
    path = f"{GROUP}/namespaces/{namespace}/pairingtokens"
    async with BareClient(kubeconfig) as user:

        async def one(number: int) -> None:
            await user.call("POST", path, pairing_token(number))

        return {"seconds": await timed(each(one, range(count)))}


async def redeem(admin: str, kubeconfig: str, namespace: str, names: Iterable[str], *, reads: bool) -> Json:
    """W4's limit: the compare-and-swap and the create; with `reads`, also the GET of the protocol before them."""
    async with BareClient(admin) as reader, BareClient(kubeconfig) as exchange:
        wanted = set(names)
        path = f"{GROUP}/namespaces/{namespace}/pairingtokens"
        masters = f"{GROUP}/namespaces/{namespace}/mastertokens"
        known = [found for found in await reader.list(path) if found["metadata"]["name"] in wanted]

        async def one(found: Json) -> None:
            meta = found["metadata"]
            body = await exchange.call("GET", f"{path}/{meta['name']}") if reads else found
            redemption = _claim(body)
            await exchange.call("PUT", f"{path}/{meta['name']}/status", {**body, "status": _used(body, redemption)})
            await exchange.call("POST", masters, _master(body, redemption))

        return {"seconds": await timed(each(one, known)), "count": len(known)}


def _claim(found: Json) -> Json:
    return {
        "redemptionID": str(uuid.uuid4()),
        "masterTokenID": str(uuid.uuid4()),
        "kid": found["status"]["kid"],
        "scope": ["mission-control:admin"],
        "time": rfc3339(int(time.time())),
    }


def _used(found: Json, redemption: Json) -> Json:
    said = [ready("False", "Used", "the token was redeemed", int(time.time()))]
    return {
        **found["status"],
        "state": "Used",
        "redemption": redemption,
        "usedTime": redemption["time"],
        "conditions": said,
    }


def _master(found: Json, redemption: Json) -> Json:
    meta = found["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": "MasterToken",
        "metadata": {
            "name": f"mtok-{redemption['masterTokenID']}",
            "ownerReferences": [{**owned_by("PairingToken", meta), "blockOwnerDeletion": True}],
        },
        "spec": {
            "pairingTokenRef": {"name": meta["name"], "uid": meta["uid"]},
            "serial": 1,
            "redemptionID": redemption["redemptionID"],
            "tokenID": redemption["masterTokenID"],
            "kid": redemption["kid"],
            "useCase": "mission-control",
            "scope": redemption["scope"],
            "audience": ["https://127.0.0.1:8443"],
            "subject": found["status"]["subject"],
            "issuedTime": redemption["time"],
            "expirationTime": rfc3339(int(time.time()) + 365 * 86400),
            "deletionPolicy": "Revoke",
        },
    }


async def post(url: str, ca_file: str, tokens: list[str]) -> Json:
    """The load of W4: redeem 32 at a time over TLS, as clients of several addresses do."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    }
    async with from_sources(ca_file, limit=AT_ONCE // SOURCES) as sessions:
        turns = itertools.cycle(sessions)

        async def one(token: str) -> None:
            async with next(turns).post(f"{url}/oauth2/token", data={**form, "subject_token": token}) as response:
                answer = await response.json()
                if response.status != 200:
                    raise RuntimeError(f"{response.status} {answer}")

        return {"seconds": await timed(each(one, tokens)), "count": len(tokens)}


async def read(kubeconfig: str) -> Json:
    """W7's limit: list all objects that the controller watches, and parse them."""
    async with BareClient(kubeconfig) as reader:
        count = 0

        async def everything() -> None:
            nonlocal count
            for path in (f"{GROUP}/pairingtokens", f"{GROUP}/mastertokens", "/api/v1/secrets"):
                count += len(await reader.list(path))

        return {"seconds": await timed(everything()), "count": count}


async def collect(kubeconfig: str, namespace: str, suffix: str = "-pairing-token") -> Json:
    """Read the tokens that were issued in a namespace, to present them. Goes through a pipe, never to a file."""
    async with BareClient(kubeconfig) as reader:
        found = await reader.list(f"/api/v1/namespaces/{namespace}/secrets")
        names = [secret["metadata"]["name"].removesuffix(suffix) for secret in found]
        tokens = [base64.b64decode(secret["data"]["token"]).decode() for secret in found]
        return {"tokens": dict(zip(names, tokens, strict=True))}


PROGRAMS: dict[str, Callable[..., Awaitable[Json]]] = {
    "issue": issue,
    "create": create,
    "put": put,
    "redeem": redeem,
    "post": post,
    "read": read,
    "collect": collect,
    "create-connections": create_connections,
    "connect": connect,
    "beat": beat,
    "create-join-keys": create_join_keys,
    "share": share,
    "rotate": rotate,
    "reseal": reseal,
}


def main(program: str) -> None:
    reported = json.load(sys.stdin)

    async def run() -> Json:
        begun = time.process_time()
        answer = await PROGRAMS[program](**reported)
        return {**answer, "cpu": time.process_time() - begun}

    sys.stdout.write(json.dumps(asyncio.run(run())) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
