"""Turn an error response of the API server into the error of the ports. Its name states what happens next."""

import re
from http import HTTPStatus

from tallystick.objects.ports import (
    AlreadyExistsError,
    ClusterError,
    ConflictError,
    ExpiredError,
    Json,
    NamespaceTerminatingError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)

# 401: the kubelet has rotated our token, or the API server is still starting. A later attempt sends a fresh token.
_LATER = (HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
# A policy or a webhook chooses the status of its rejection, such as 401, 409 or 500. So the text decides. A webhook
# that does not respond rejects, too: its configuration demands a response, and the object is not stored.
_ADMISSION = re.compile(
    r"""admission[ ]webhook[ ]"[^"]*"[ ](denied|attempted)
    | failed[ ]calling[ ]webhook[ ]
    | AdmissionPolicy[ ]'[^']*'[ ]with[ ]binding[ ]'[^']*'[ ]denied
    | admission[ ]plugin[ ]"[^"]*"[ ]failed[ ]to[ ]complete""",
    re.VERBOSE,
)
# An API server that starts forbids writes until its admission policies are ready.
_NOT_READY = "not yet ready to handle request"
_TERMINATING = "NamespaceTerminating"


def error_of(status: int, decoded: Json, retry_after: str | None) -> ClusterError:
    """Return the error of a response.

    Args:
        status: The HTTP status.
        decoded: The body, a `metav1.Status`.
        retry_after: The header `Retry-After`.
    """
    message = str(decoded.get("message") or f"HTTP {status}")
    if _is_terminating(decoded):
        return NamespaceTerminatingError(message)
    if _ADMISSION.search(message):
        return RefusedError(message)
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(message)
    if status == HTTPStatus.CONFLICT:
        return AlreadyExistsError(message) if decoded.get("reason") == "AlreadyExists" else ConflictError(message)
    if status == HTTPStatus.GONE:
        return ExpiredError(message)
    if status in _LATER or _NOT_READY in message or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        seconds = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
        text = f"the API server returned {status}: {message}"
        is_failure = status == HTTPStatus.INTERNAL_SERVER_ERROR
        return UnavailableError(text, retry_after=seconds, is_failure=is_failure)
    return RefusedError(message)


def _is_terminating(decoded: Json) -> bool:
    causes = (decoded.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == _TERMINATING for cause in causes)
