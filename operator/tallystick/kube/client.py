"""A thin client of the API server whose every write is conditional.

There is no blind patch and no retry here (design.md, reliability.md section 0.3): a use case that meets a
conflict or a silence re-reads and decides again. Reads carry no `resourceVersion`, so they are quorum reads.
"""

import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp

from tallystick.api.meta import Resource
from tallystick.kube.connection import Connection
from tallystick.services.ports import (
    AlreadyExistsError,
    ClusterError,
    ConflictError,
    Json,
    NotFoundError,
    RefusedError,
    UnavailableError,
)

PAGE_SIZE = 200  # a page is held whole while it is read
# 401: our token was rotated, or the API server is not up yet; a later try carries a fresh one.
_LATER = (HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class KubeCluster:
    """The real `Cluster` port. Not safe to share between event loops."""

    def __init__(
        self,
        connection: Connection,
        *,
        field_manager: str,
        timeout_seconds: float = 5.0,
        on_date: Callable[[datetime], None] = lambda _: None,
        on_call: Callable[[str, int | None], None] = lambda _verb, _status: None,
    ) -> None:
        """Open no connection yet.

        Args:
            connection: where, and who we are.
            field_manager: the name our writes stand under in `managedFields`; never a client's default one.
            timeout_seconds: how long one request may take before it counts as unavailable.
            on_date: called with the API server's `Date` of each answer.
            on_call: called with the verb and the HTTP status of each answer, None where there was none.
        """
        self._connection = connection
        self._session = connection.session(authorised=False)
        self._field_manager = field_manager
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._on_date = on_date
        self._on_call = on_call
        self._last_date = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Read one object by quorum."""
        return await self._call("get", "GET", path_of(resource, namespace, name))

    async def list(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Json]:
        """Read all objects of a kind, page by page."""
        query = {"limit": str(PAGE_SIZE)}
        if label_selector:
            query["labelSelector"] = label_selector
        headers = {"Accept": METADATA_ONLY} if metadata_only else {}
        while True:
            page = await self._call("list", "GET", path_of(resource, namespace), query=query, headers=headers)
            for item in page.get("items") or ():  # an empty metadata list comes as null
                yield item
            if not (rest := page["metadata"].get("continue")):
                return
            query["continue"] = rest

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        """Create, and return what was stored (or, in a dry run, what would have been)."""
        namespace = body.get("metadata", {}).get("namespace", "")
        query = {"fieldManager": self._field_manager, **({"dryRun": "All"} if dry_run else {})}
        verb = "review" if resource.kind.endswith("Review") else "create"
        return await self._call(verb, "POST", path_of(resource, namespace), query=query, body=body)

    async def replace(self, resource: Resource, body: Json) -> Json:
        """Replace the object if it still is the version and the uid that `body` names."""
        return await self._put(resource, body)

    async def replace_status(self, resource: Resource, body: Json) -> Json:
        """Replace the status if the object still is the version and the uid that `body` names."""
        return await self._put(resource, body, "status")

    async def _put(self, resource: Resource, body: Json, subresource: str = "") -> Json:
        metadata = body["metadata"]
        if not metadata.get("resourceVersion") or not metadata.get("uid"):
            raise ValueError("a conditional write needs the uid and the resourceVersion that it means")
        path = path_of(resource, metadata.get("namespace", ""), metadata["name"], subresource)
        verb = "replace_status" if subresource else "replace"
        return await self._call(verb, "PUT", path, query={"fieldManager": self._field_manager}, body=body)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str = ""
    ) -> None:
        """Delete the very object that was seen."""
        preconditions = {"uid": uid, **({"resourceVersion": resource_version} if resource_version else {})}
        body = {"preconditions": preconditions, "propagationPolicy": "Background"}
        await self._call("delete", "DELETE", path_of(resource, namespace, name), body=body)

    async def apply(self, resource: Resource, body: Json) -> Json:
        """Server-side apply under our field manager; for what `tallystick` installs, never for a user's object."""
        metadata = body["metadata"]
        path = path_of(resource, metadata.get("namespace", ""), metadata["name"])
        query = {"fieldManager": self._field_manager, "force": "true"}
        return await self._call(
            "apply", "PATCH", path, query=query, body=body, headers={"Content-Type": "application/apply-patch+yaml"}
        )

    async def request_token(self, namespace: str, service_account: str, seconds: int) -> str:
        """Ask for a ServiceAccount's token (TokenRequest) of the API server's own audience."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        answer = await self._call("create", "POST", path, body={"spec": {"expirationSeconds": seconds}})
        token: str = answer["status"]["token"]
        return token

    async def _call(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Json | None = None,
        headers: dict[str, str] | None = None,
    ) -> Json:
        data = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() if body is not None else None
        status: int | None = None
        try:
            sent = {"Content-Type": "application/json", **await self._who_we_are(), **(headers or {})}
            async with self._session.request(
                method, self._connection.server + path, params=query, data=data, headers=sent, timeout=self._timeout
            ) as response:
                raw = await response.read()
                status = response.status
                self._note_date(response.headers.get("Date"))
                answer = _decode(raw)
                if status >= HTTPStatus.MULTIPLE_CHOICES:  # a redirect is an error here: we follow none
                    raise _error(status, answer, response.headers.get("Retry-After"))
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The class only: aiohttp puts URLs into its texts, and nothing else of use.
            raise UnavailableError(f"the API server did not answer ({type(error).__name__})") from error
        finally:
            self._on_call(verb, status)

    async def _who_we_are(self) -> dict[str, str]:
        authorization = await self._connection.authorization()
        return {} if authorization is None else {"Authorization": authorization}

    def _note_date(self, value: str | None) -> None:
        if value is None or value == self._last_date:
            return  # within the same second it says nothing new
        self._last_date = value
        try:
            self._on_date(parsedate_to_datetime(value))
        except ValueError:
            return


def path_of(resource: Resource, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return the path of a collection, an object or its subresource. '' leaves a part out."""
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    parts = [root, f"namespaces/{namespace}" if namespace else "", resource.plural, name, subresource]
    return "/".join(part for part in parts if part)


def _decode(raw: bytes) -> Json:
    try:
        answer: Any = json.loads(raw)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _error(status: int, answer: Json, retry_after: str | None) -> ClusterError:
    message = str(answer.get("message") or f"HTTP {status}")
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(message)
    if status == HTTPStatus.CONFLICT:
        return AlreadyExistsError(message) if answer.get("reason") == "AlreadyExists" else ConflictError(message)
    if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        seconds = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
        return UnavailableError(f"the API server answered {status}: {message}", retry_after=seconds)
    return RefusedError(message)
