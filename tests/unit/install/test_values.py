import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

import tallystick
from tallystick.cli.settings import load_settings, settings_model
from tallystick.exchange.transport import MOST_PER_SOURCE
from tallystick.install.values import SUBCHART_KEYS, Values
from tallystick.install.values_files import BEGIN, END, values_schema, values_table, values_yaml, with_table
from tallystick.install.values_settings import NO_VALUE, VALUE_OF
from tallystick.pairing.domain.settings import MOST_MINUTES
from tallystick.pairing.domain.use_cases import use_cases
from tallystick.registry import FEATURES
from tests.unit.test_house import REPOSITORY

Json = dict[str, Any]

SETTINGS = settings_model(FEATURES).model_fields


def fields(model: type[BaseModel] = Values, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walk the values that have no values inside."""
    for name, field in model.model_fields.items():
        path, inner = prefix + (field.alias or name), field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from fields(inner, f"{path}.")
        else:
            yield path, field


def value_at(path: str) -> Any:
    found: Any = yaml.safe_load(values_yaml())
    for key in path.split("."):
        found = found[key]
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_has_a_value_or_a_reason(name: str) -> None:
    assert (name in VALUE_OF) != (name in NO_VALUE)


def test_each_reason_and_value_is_of_a_setting() -> None:
    assert VALUE_OF.keys() | NO_VALUE.keys() == SETTINGS.keys()
    assert set(VALUE_OF.values()) <= dict(fields()).keys()


# A file, or what the chart makes of an empty value.
MADE_BY_THE_CHART = {"public_urls", "use_cases_file", "ca_file", "tls_service"}
# The setting has none, and the process then takes the one that the value states.
STATED = {"connections_per_source": MOST_PER_SOURCE}


@pytest.mark.parametrize("name", [name for name in VALUE_OF if name not in MADE_BY_THE_CHART])
def test_a_value_has_the_default_of_its_setting(name: str) -> None:
    value = value_at(VALUE_OF[name])
    given = {} if value in ("", [], {}) else {name: value}  # the chart then sets no flag

    settings = load_settings(public_urls="https://x.example", **given)

    assert getattr(settings, name) == STATED.get(name, SETTINGS[name].get_default(call_default_factory=True))


def test_values_yaml_has_each_default() -> None:
    assert yaml.safe_load(values_yaml()) == Values().model_dump(mode="json", by_alias=True)


def test_each_value_has_a_comment_with_its_description() -> None:
    text = " ".join(line.strip(" #") for line in values_yaml().splitlines())

    assert [path for path, field in fields() if not field.description or field.description not in text] == []


def objects(schema: Any) -> Iterator[Json]:
    """Walk the schemas that list properties."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for part in schema.values():
            yield from objects(part)


def test_the_schema_permits_nothing_else_but_what_a_subchart_needs() -> None:
    schema = json.loads(values_schema())

    assert {one["additionalProperties"] for one in objects(schema)} == {False}
    assert schema["properties"].keys() - Values.model_json_schema(by_alias=True)["properties"].keys() == {
        "global",
        "enabled",
    }
    assert "additionalProperties" not in SUBCHART_KEYS["global"]
    assert "$ref" not in values_schema()


def test_the_table_of_the_readme_has_each_value() -> None:
    rows = values_table().splitlines()[2:]

    assert [row.split("`")[1] for row in rows] == [path for path, _ in fields()]


def test_the_table_replaces_the_one_between_its_marks() -> None:
    readme = f"before\n{BEGIN}old\n{END}after\n"

    assert with_table(readme) == f"before\n{BEGIN}\n{values_table()}\n{END}after\n"
    assert with_table("no marks\n") == "no marks\n"
    assert with_table(with_table(readme)) == with_table(readme)


def test_the_bounds_are_those_of_the_settings() -> None:
    minutes = json.loads(values_schema())["properties"]["bootstrap"]["properties"]["tokenDeleteInMinutes"]

    assert (minutes["minimum"], minutes["maximum"]) == (1, MOST_MINUTES)


def test_use_cases_of_the_values_are_a_table_of_the_operator() -> None:
    given = {"cold": {"scope": ["cold:read"], "audience": ["https://a.example"], "masterTokenTTL": "24h"}}

    values = Values.model_validate({"useCases": given}).model_dump(mode="json", by_alias=True)["useCases"]

    assert values == given
    assert use_cases({"useCases": values}).names == "cold"


def test_chart_image_and_package_have_one_version() -> None:
    chart = yaml.safe_load((REPOSITORY / "helm" / "tallystick" / "Chart.yaml").read_text(encoding="utf-8"))

    assert (chart["version"], chart["appVersion"]) == (tallystick.__version__, tallystick.__version__)
    assert value_at("image.tag") == ""
