"""Who asks, and may they: callers of introspection are Kubernetes identities (S16)."""

import base64
import hashlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tallystick.api.core import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from tallystick.api.meta import GROUP, Resource
from tallystick.services.freshness import cannot_know
from tallystick.services.ports import Clock, Cluster, Json, UnavailableError

# kube-apiserver itself caches the answers of webhook authenticators for as long.
REMEMBER_SECONDS = 10.0
# A no is forgotten sooner: whoever has just been given a right tries it at once.
FORGET_NO_SECONDS = 1.0
MOST_REMEMBERED = 4096
LONGEST_BEARER = 8192

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated Kubernetes identity."""

    username: str
    uid: str
    groups: tuple[str, ...]


class Callers:
    """Authenticates by TokenReview and authorises by SubjectAccessReview; answers are kept for 10 seconds."""

    def __init__(self, cluster: Cluster, clock: Clock, *, issuer: str) -> None:
        self._cluster = cluster
        self._issuer = issuer
        self._known: _Remembered[Caller | None] = _Remembered(clock)
        self._allowed: _Remembered[bool] = _Remembered(clock)

    async def authenticate(self, unverified_bearer: str) -> Caller | None:
        """Return who holds a bearer token, or None. What cannot be one of ours costs no API call."""
        if not _names_audience(unverified_bearer, self._issuer):
            return None
        digest = hashlib.sha256(unverified_bearer.encode("utf-8", "surrogatepass")).hexdigest()
        return await self._known.get(digest, lambda: self._review(unverified_bearer))

    async def may(self, caller: Caller, verb: str, plural: str, namespace: str) -> bool:
        """Ask RBAC whether the caller may do something with our objects in a namespace."""
        key = f"{caller}|{verb}|{plural}|{namespace}"
        return await self._allowed.get(key, lambda: self._ask(caller, verb, plural, namespace))

    async def _review(self, unverified_bearer: str) -> Caller | None:
        answer = await self._create(TOKEN_REVIEWS, {"token": unverified_bearer, "audiences": [self._issuer]})
        status = answer.get("status") or {}
        # An authenticator that knows nothing of audiences answers without any: not for us.
        if not status.get("authenticated") or self._issuer not in (status.get("audiences") or ()):
            return None
        user = status.get("user") or {}
        return Caller(user.get("username", ""), user.get("uid", ""), tuple(user.get("groups") or ()))

    async def _ask(self, caller: Caller, verb: str, plural: str, namespace: str) -> bool:
        attributes = {"group": GROUP, "resource": plural, "verb": verb, "namespace": namespace}
        spec = {
            "user": caller.username,
            "uid": caller.uid,
            "groups": list(caller.groups),
            "resourceAttributes": attributes,
        }
        answer = await self._create(SUBJECT_ACCESS_REVIEWS, spec)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _create(self, resource: Resource, spec: Json) -> Json:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
        try:
            return await self._cluster.create(resource, body)
        except UnavailableError as error:
            raise cannot_know(error) from error


class _Remembered(Generic[Answer]):
    """Answers of the last seconds, at most so many; the oldest go first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: OrderedDict[str, tuple[float, Answer]] = OrderedDict()

    async def get(self, key: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        now = self._clock.monotonic()
        known = self._answers.get(key)
        if known is not None and now - known[0] <= (REMEMBER_SECONDS if known[1] else FORGET_NO_SECONDS):
            return known[1]
        answer = await ask()
        self._answers[key] = (now, answer)
        self._answers.move_to_end(key)
        if len(self._answers) > MOST_REMEMBERED:
            self._answers.popitem(last=False)
        return answer


def _names_audience(unverified_bearer: str, audience: str) -> bool:
    """Look, without trusting it, whether a token is for us at all: 10,000 garbage bearers cost no API call."""
    if len(unverified_bearer) > LONGEST_BEARER:
        return False
    try:
        _, payload, _ = unverified_bearer.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        named = claims["aud"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return audience == named or (isinstance(named, list) and audience in named)
