"""Callers as Kubernetes knows them: bearer tokens that look like its own, and a cluster that reviews them."""

import base64
import json
from typing import Any

from tallystick.objects.ports import RefusedError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.builtin import SELF_SUBJECT_REVIEWS, SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from tallystick.schema.meta import Resource
from tests.builders import ISSUER
from tests.worlds.faults import FaultyCluster

Json = dict[str, Any]

GATEWAY = "system:serviceaccount:edge:gateway"


def a_bearer(audience: object = ISSUER, *, name: str = "gateway") -> str:
    """A token of that audience, unsigned: what reads it before the review does not look at the signature."""
    payload = json.dumps({"aud": audience, "name": name}).encode()
    return f"head.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.signature"


class ReviewingCluster(FaultyCluster):
    """Knows who is who and who may; `created` holds what it was asked."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.reviews: list[Json] = []
        self.status: Json = {"authenticated": True, "audiences": [ISSUER], "user": {"username": GATEWAY, "uid": "u1"}}
        self.allowed = True
        self.forged: Json | Exception = RefusedError("not asked for")
        self.unnamed: Json | Exception = RefusedError("not asked for")

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        if dry_run and resource == PAIRING_TOKENS:
            return _given(self.forged if "requestedBy" in body["spec"] else self.unnamed)
        answers = {
            TOKEN_REVIEWS: {"status": self.status},
            SUBJECT_ACCESS_REVIEWS: {"status": {"allowed": self.allowed}},
            SELF_SUBJECT_REVIEWS: {"status": {"userInfo": {"username": "system:serviceaccount:ts:controller"}}},
        }
        if resource not in answers:
            return await super().create(resource, body, dry_run=dry_run)
        self.reviews.append(body)
        named = {"metadata": {"name": f"review-{len(self.reviews)}"}}
        await super().create(resource, {**body, **named})  # so that faults can be injected here too
        return {**body, **answers[resource]}


def _given(answer: Json | Exception) -> Json:
    if isinstance(answer, Exception):
        raise answer
    return answer
