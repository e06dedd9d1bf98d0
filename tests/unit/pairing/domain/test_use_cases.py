"""The table of use cases: R82, R92, and what the settings may not say."""

from datetime import timedelta

import pytest

from tallystick.errors import InvalidSettingError
from tallystick.pairing.domain.use_cases import use_cases

YEAR = timedelta(seconds=31_536_000)


def a_table(name="mission-control", **row):
    return {"useCases": {name: {"scope": ["mission-control:admin"], **row}}}


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("mission-control", "mission-control:admin"),
        ("artifactory-cold", "artifactory-cold:transfer"),
        ("federated-repo", "federated-repo:sync"),
    ],
)
def test_the_built_in_rows_last_a_year(name, scope):
    row = use_cases().get(name)

    assert (row.name, row.scope, row.audience, row.master_ttl) == (name, (scope,), (), YEAR)


def test_a_row_says_scope_audiences_and_life():
    row = use_cases(a_table(audience=["https://mc.example.net"], masterTokenTTL="720h")).get("mission-control")

    assert (row.audience, row.master_ttl) == (("https://mc.example.net",), timedelta(days=30))


@pytest.mark.parametrize("name", [None, "", "mission-contrl", "Mission-Control"])
def test_there_is_no_row_for(name):
    assert use_cases().get(name) is None


def test_names_are_listed_in_order():
    assert use_cases().names == "artifactory-cold, federated-repo, mission-control"


def test_replicas_with_the_same_table_have_the_same_digest():
    one = {"useCases": {"a": {"scope": ["x"]}, "b": {"scope": ["y"]}}}
    reordered = {"useCases": {"b": {"scope": ["y"]}, "a": {"scope": ["x"]}}}

    assert use_cases(one).digest == use_cases(reordered).digest
    assert use_cases(one).digest != use_cases(a_table()).digest


def test_a_default_that_is_written_out_changes_no_digest():
    assert use_cases(a_table()).digest == use_cases(a_table(masterTokenTTL="8760h", audience=[])).digest


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="a list"),
        pytest.param({}, id="no rows at all"),
        pytest.param({"useCases": {}}, id="an empty table"),
        pytest.param({"useCases": {}, "more": 1}, id="an unknown setting"),
        pytest.param(a_table(name="Mission"), id="a name with a capital"),
        pytest.param(a_table(name="9lives"), id="a name that begins with a digit"),
        pytest.param(a_table(name="a" * 64), id="a name that is too long"),
        pytest.param(a_table(name="mission\n"), id="a name with a line feed"),
        pytest.param(a_table(scope=[]), id="no scope"),
        pytest.param(a_table(scope=["two words"]), id="a scope with a blank"),
        pytest.param(a_table(scope=["x"] * 17), id="too many scopes"),
        pytest.param(a_table(scope="mission-control:admin"), id="a scope that is no list"),
        pytest.param(a_table(scope=["x:r", "x:r"]), id="a scope twice"),
        pytest.param(a_table(audience=[""]), id="an empty audience"),
        pytest.param(a_table(audience=["https://a", "https://a"]), id="an audience twice, which no verifier accepts"),
        pytest.param(a_table(audience=["https://a\x1b[2J"]), id="S28 an audience with a control character"),
        pytest.param(
            a_table(audience=[f"https://{n}.example/{'x' * 900}" for n in range(16)]),
            id="audiences that fit into no token",
        ),
        pytest.param(a_table(masterTokenTTL="1d"), id="a life in days"),
        pytest.param(a_table(masterTokenTTL="forever"), id="a life in words"),
        pytest.param(a_table(masterTokenTTL="0s"), id="no life"),
        pytest.param(a_table(masterTokenTTL="59s"), id="a life under a minute"),
        pytest.param(a_table(masterTokenTTL="87601h"), id="a life that no token may have"),
        pytest.param(a_table(masterTokenTTL="999999999h"), id="a life that no calendar has"),
        pytest.param(a_table(masterTokenTtl="8760h"), id="a misspelt member"),
    ],
)
def test_a_table_cannot_be_used_with(table):
    with pytest.raises(InvalidSettingError, match=r"the use-case table .* is invalid"):
        use_cases(table)


@pytest.mark.parametrize("ttl", ["1m", "87600h"])
def test_the_bounds_of_a_life_are_those_of_the_schema(ttl):
    assert use_cases(a_table(masterTokenTTL=ttl)).get("mission-control") is not None


def test_s27_the_use_case_of_the_admin_token_is_reserved():
    with pytest.raises(InvalidSettingError, match="the name bootstrap-admin is reserved for the first admin token"):
        use_cases(a_table(name="bootstrap-admin"))
