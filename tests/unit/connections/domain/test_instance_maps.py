"""What a replica stores of its heartbeats: it reads back as it was written, and garbage says nothing (S19)."""

import json

import pytest

from tallystick.connections.domain.heartbeat_records import HeartbeatRecords, LastSeen
from tallystick.connections.domain.instance_maps import Record, instance_map, instance_map_name, stored_records
from tests.builders import OTHER_UID, UID

RECORD = Record("edge", "dc-west", HeartbeatRecords({"press-1": LastSeen(2, 1_795_316_400)}, unlisted=7))
LINE = {"namespace": "edge", "name": "dc-west", "unlisted": 7, "instances": {"press-1": [2, 1_795_316_400]}}


def test_it_is_one_line_of_json_for_each_configuration():
    body = instance_map("tallystick-system", "exchange-0", {UID: RECORD})

    assert body["metadata"] == {
        "name": "tallystick-instances-exchange-0",
        "namespace": "tallystick-system",
        "labels": {"app.kubernetes.io/managed-by": "tallystick", "tallystick.dev/instances": "true"},
    }
    assert (body["apiVersion"], body["kind"]) == ("v1", "ConfigMap")
    assert list(body["data"]) == [UID]
    assert json.loads(body["data"][UID]) == LINE
    assert "\n" not in body["data"][UID]


def test_what_was_written_is_read_back():
    records = {
        UID: RECORD,
        OTHER_UID: Record("edge", "dc-east", HeartbeatRecords({"b": LastSeen(1, 5), "a": LastSeen(3, 4)})),
    }

    assert stored_records(instance_map("ts", "one", records)) == records


def test_the_same_instances_are_written_the_same_whatever_their_order():
    one, other = LastSeen(1, 5), LastSeen(3, 4)

    written = [
        instance_map("ts", "one", {UID: Record("edge", "dc-west", HeartbeatRecords(last_seen))})
        for last_seen in ({"a": one, "b": other}, {"b": other, "a": one})
    ]

    assert written[0] == written[1]


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {}}], ids=repr)
def test_an_empty_map_reports_no_instance(body):
    assert stored_records(body) == {}


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="nothing"),
        pytest.param("garbage", id="no JSON"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="no members"),
        pytest.param(json.dumps(LINE)[:-1], id="cut off"),
        pytest.param(json.dumps({**LINE, "namespace": 7}), id="a namespace that is no text"),
        pytest.param(json.dumps({**LINE, "name": None}), id="no name"),
        pytest.param(json.dumps({**LINE, "unlisted": -1}), id="a count below zero"),
        pytest.param(json.dumps({**LINE, "unlisted": 2**31}), id="a count that no status may have"),
        pytest.param(json.dumps({**LINE, "instances": ["press-1"]}), id="instances without last_seen"),
        pytest.param(json.dumps({**LINE, "instances": {"press-1": 2}}), id="a seen that is a number"),
        pytest.param(json.dumps({**LINE, "instances": {"press-1": [2]}}), id="a seen without a time"),
        pytest.param(json.dumps({**LINE, "instances": {"press-1": [2, 3, 4]}}), id="a seen of three"),
        pytest.param(json.dumps({**LINE, "instances": {"press-1": [0, 3]}}), id="a serial that no token has"),
        pytest.param(json.dumps({**LINE, "instances": {"press-1": [2, 3.5]}}), id="a time that is a fraction"),
        pytest.param(json.dumps({**LINE, "instances": {"press-1": [2, -1]}}), id="a time before all times"),
        pytest.param(json.dumps({**LINE, "instances": {"press-1": [2, 10**18]}}), id="a time after all times"),
        pytest.param(json.dumps({**LINE, "instances": {"press-1\n": [2, 3]}}), id="an id with a newline"),
        pytest.param(json.dumps({**LINE, "instances": {"\u202epress": [2, 3]}}), id="an id that lies"),
        pytest.param(json.dumps({**LINE, "instances": {"p" * 65: [2, 3]}}), id="an id that is too long"),
    ],
)
def test_a_line_that_is_not_ours_says_nothing_and_the_others_are_read(line):
    body = instance_map("ts", "one", {UID: RECORD})
    body["data"][OTHER_UID] = line

    assert stored_records(body) == {UID: RECORD}


def test_a_line_of_a_later_version_is_read_as_far_as_it_is_known():
    body = {"data": {UID: json.dumps({**LINE, "zone": "b"})}}

    assert stored_records(body) == {UID: RECORD}


def test_names_of_replicas_do_not_meet():
    assert instance_map_name("a") != instance_map_name("b")
