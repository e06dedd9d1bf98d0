"""What an error response of the API server becomes: a rejection is one, whatever status a policy or a webhook chose.

The texts are those of kube-apiserver 1.36; tests/live/platform/test_refused_writes.py gets them from it.
"""

import pytest

from tallystick.kube.errors import error_of
from tallystick.objects.ports import (
    AlreadyExistsError,
    ConflictError,
    NamespaceTerminatingError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)

DENIED = 'admission webhook "x.example.com" denied the request: no'
POLICY = """secrets "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"""
NO_WEBHOOK = (
    'Internal error occurred: failed calling webhook "x.example.com": failed to call webhook: '
    'Post "https://127.0.0.1:1/?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused'
)
QUOTA_CHANGED = (
    'Operation cannot be fulfilled on resourcequotas "q": the object has been modified; please apply your changes'
)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        pytest.param(400, "bad", RefusedError, id="400"),
        pytest.param(403, "secrets is forbidden: exceeded quota: q", RefusedError, id="a quota"),
        pytest.param(403, 'secrets is forbidden: User "x" cannot create resource "secrets"', RefusedError, id="RBAC"),
        pytest.param(413, "Request entity too large", RefusedError, id="too large"),
        pytest.param(422, "is invalid", RefusedError, id="422"),
        *(pytest.param(status, DENIED, RefusedError, id=f"a webhook that chose {status}")
          for status in (400, 401, 403, 404, 408, 409, 422, 429, 500, 503, 504)),
        *(pytest.param(status, POLICY, RefusedError, id=f"a policy that chose {status}") for status in (403, 413, 422)),
        pytest.param(500, NO_WEBHOOK, RefusedError, id="a webhook without a response"),
        pytest.param(403, "forbidden: not yet ready to handle request", UnavailableError, id="a server that starts"),
        pytest.param(401, "Unauthorized", UnavailableError, id="401"),
        pytest.param(404, "not found", NotFoundError, id="404"),
        pytest.param(408, "timeout", UnavailableError, id="408"),
        pytest.param(409, QUOTA_CHANGED, ConflictError, id="a quota that changes"),
        pytest.param(429, "too many requests", UnavailableError, id="429"),
        pytest.param(500, "etcdserver: leader changed", UnavailableError, id="500"),
        pytest.param(503, "unavailable", UnavailableError, id="503"),
        pytest.param(504, "Timeout: request did not complete", UnavailableError, id="504"),
    ],
)  # fmt: skip
def test_an_error_says_what_happens_next(status, message, expected):
    error = error_of(status, {"message": message, "reason": "Any"}, None)

    assert type(error) is expected
    assert message in str(error)


def test_a_name_that_is_taken_is_no_conflict():
    assert type(error_of(409, {"message": "x exists", "reason": "AlreadyExists"}, None)) is AlreadyExistsError


def test_a_namespace_that_is_being_deleted_is_known_by_its_cause():
    cause = {
        "reason": "NamespaceTerminating",
        "message": "namespace x is being terminated",
        "field": "metadata.namespace",
    }
    body = {"message": "forbidden", "reason": "Forbidden", "details": {"causes": [cause]}}

    assert type(error_of(403, body, None)) is NamespaceTerminatingError


@pytest.mark.parametrize(("status", "is_failure"), [(500, True), (503, False), (504, False), (429, False)])
def test_only_500_is_a_failure_that_an_object_may_report(status, is_failure):
    error = error_of(status, {}, "7")

    assert isinstance(error, UnavailableError)
    assert (error.is_failure, error.retry_after) == (is_failure, 7.0)
