"""The API client sends no write that could overwrite another version of an object: docs/rules.md#i22."""

import inspect
import json

import pytest

from tallystick.kube.client import KubeCluster
from tallystick.objects.ports import UnavailableError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS


class Session:
    """A session that records each request instead of sending it."""

    def __init__(self):
        self.requests, self.queries, self.bodies = [], [], []

    def request(self, method, url, *, params=None, data=None, **_):
        self.requests.append((method, url))
        self.queries.append(params)
        self.bodies.append(data)
        raise OSError


class Connection:
    """An API server that is never reached."""

    server = "https://api.invalid"

    def __init__(self):
        self.opened = Session()

    def session(self, **_):
        return self.opened

    async def authorization(self):
        return None

    def problem(self, error):
        return str(error)


@pytest.mark.parametrize("write", ["replace", "replace_status"])
@pytest.mark.parametrize("missing", ["uid", "resourceVersion"])
async def test_a_replace_names_the_version_and_the_uid_that_it_means(write, missing):
    connection = Connection()
    cluster = KubeCluster(connection, field_manager="test")
    metadata = {"name": "press-1", "namespace": "edge", "uid": "u1", "resourceVersion": "7"}
    del metadata[missing]

    with pytest.raises(ValueError, match="a conditional write needs the uid and the resourceVersion"):
        await getattr(cluster, write)(PAIRING_TOKENS, {"metadata": metadata})

    assert connection.opened.requests == []


@pytest.mark.parametrize("write", ["replace", "replace_status"])
async def test_a_replace_leaves_out_the_managed_fields_and_nothing_else(write):
    connection = Connection()
    cluster = KubeCluster(connection, field_manager="test")
    body = {"metadata": {"name": "press-1", "uid": "u1", "resourceVersion": "7", "labels": {"a": "b"}}, "status": {}}
    read = {**body, "metadata": {**body["metadata"], "managedFields": [{"manager": "kubectl"}]}}

    with pytest.raises(UnavailableError):
        await getattr(cluster, write)(PAIRING_TOKENS, read)

    assert [json.loads(sent) for sent in connection.opened.bodies] == [body]


def test_a_delete_names_the_uid_that_it_means():
    uid = inspect.signature(KubeCluster.delete).parameters["uid"]

    assert (uid.kind, uid.default) == (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty)


@pytest.mark.parametrize(
    ("selectors", "query"),
    [
        ({}, {}),
        ({"label_selector": "a=b"}, {"labelSelector": "a=b"}),
        ({"field_selector": "type=c"}, {"fieldSelector": "type=c"}),
        ({"label_selector": "a=b", "field_selector": "type=c"}, {"labelSelector": "a=b", "fieldSelector": "type=c"}),
    ],
)
async def test_a_list_lets_the_api_server_select(selectors, query):
    connection = Connection()
    cluster = KubeCluster(connection, field_manager="test")

    with pytest.raises(UnavailableError):
        await anext(cluster.list(PAIRING_TOKENS, **selectors))

    assert connection.opened.queries == [{"limit": "500"} | query]
