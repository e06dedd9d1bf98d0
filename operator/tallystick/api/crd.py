r"""Turn a kind, written as a pydantic model, into its CustomResourceDefinition.

The API server wants a structural schema: no `$ref`, no `anyOf` with null, no title, and a type on every node. That is a
small change to what pydantic generates, made here and nowhere else. Patterns are read by Go's RE2 in the API server and
by Rust's regex in pydantic: neither knows look-ahead, and what is `\p{C}` to them differs (see PRINTABLE).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, NoDefault
from pydantic_core import core_schema

from tallystick.api.meta import CATEGORY, Column, Model, Resource, Rule

Json = dict[str, Any]

HEADER = "# Generated from operator/tallystick/api by `make crds`. Change the models there, not this file.\n"

_CONDITION = "#/$defs/Condition"
_INT32_MAX = 2**31 - 1
_FOLD_AFTER = 80


class Kind(Protocol):
    """What a model says about itself when it is a kind of ours."""

    RESOURCE: ClassVar[Resource]
    SHORT_NAMES: ClassVar[Sequence[str]]
    SELECTABLE: ClassVar[Sequence[str]]
    COLUMNS: ClassVar[Sequence[Column]]
    RULES: ClassVar[Sequence[Rule]]

    @classmethod
    def model_json_schema(
        cls, by_alias: bool = True, *, schema_generator: type[GenerateJsonSchema] = GenerateJsonSchema
    ) -> Json:
        """Give the JSON schema of the model."""
        ...


class StructuralSchema(GenerateJsonSchema):
    """pydantic's JSON schema in the API server's dialect; `$ref`s are left for `_inline`."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave titles out: they repeat the field's name."""
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Say "optional" by leaving the field out, never by null: null breaks merge patches."""
        return self.generate_inner(schema["schema"])

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """Keep a default that says something. None and an empty list say no more than an absent field."""
        default = _default(schema)
        if default is None or default == []:
            return NoDefault
        if isinstance(default, Model):
            return {name: value for name, value in default.to_json().items() if value != []}
        return default

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        """Name the width, so that the API server bounds what we do not."""
        found = super().int_schema(schema)
        return found | {"format": "int32" if found.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64"}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Put the model's CEL rules at its own level."""
        found = super().model_schema(schema)
        rules = [_rule(rule) for rule in schema["cls"].RULES]
        return found | {"x-kubernetes-validations": rules} if rules else found


class _Folding(yaml.SafeDumper):
    """Writes long texts as folded blocks, so that a rule reads as it is written, without doubled quotes."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=">" if len(value) > _FOLD_AFTER else None)


_Folding.add_representer(str, _text)


def crd(kind: type[Kind]) -> Json:
    """Build the CustomResourceDefinition of a kind, as a JSON object."""
    resource = kind.RESOURCE
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "names": _names(kind),
            "scope": "Namespaced",
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.COLUMNS],
                    "selectableFields": [{"jsonPath": path} for path in kind.SELECTABLE],
                    "schema": {"openAPIV3Schema": structural_schema(kind)},
                }
            ],
        },
    }


def structural_schema(kind: type[Kind]) -> Json:
    """Give the kind's structural schema; `metadata` is left to the API server."""
    schema = kind.model_json_schema(schema_generator=StructuralSchema)
    root: Json = _inline(_without(schema, "$defs"), schema["$defs"])
    root["properties"]["metadata"] = {"type": "object"}
    root["required"] = [name for name in root["required"] if name != "metadata"]
    return root


def render(definition: Json) -> str:
    """Write a CRD as YAML: always the same text for the same CRD, in the order of the models."""
    return HEADER + yaml.dump(definition, Dumper=_Folding, sort_keys=False, width=120, allow_unicode=True)


def _default(schema: core_schema.WithDefaultSchema) -> Any:
    factory: Callable[[], Any] | None = schema.get("default_factory")  # type: ignore[assignment]  # ours take no argument
    return factory() if factory else schema.get("default")


def _names(kind: type[Kind]) -> Json:
    resource = kind.RESOURCE
    return {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "shortNames": list(kind.SHORT_NAMES),
        "categories": [CATEGORY],
    }


def _column(column: Column) -> Json:
    return {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "jsonPath": column.json_path,
        "priority": column.priority,
    }


def _rule(rule: Rule) -> Json:
    written = {"rule": rule.rule, "message": rule.message, "fieldPath": rule.field_path, "reason": rule.reason}
    return {name: value for name, value in written.items() if value}


def _inline(node: Any, definitions: Mapping[str, Json]) -> Any:
    """Replace each `$ref` by what it names. What stands beside a `$ref` (a description, a default) wins."""
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        named = definitions[node["$ref"].removeprefix("#/$defs/")]
        return _inline(named | _without(node, "$ref"), definitions)
    inlined = {name: _inline(value, definitions) for name, value in node.items() if not _is_title(name, value)}
    return inlined | _list_type(node) if node.get("type") == "array" else inlined


def _is_title(name: str, value: Any) -> bool:
    """Tell pydantic's titles, which repeat a class's name, from a property that is called title."""
    return name == "title" and isinstance(value, str)


def _list_type(array: Json) -> Json:
    """Conditions are merged by their type; any other list belongs as a whole to who wrote it."""
    if array["items"].get("$ref") == _CONDITION:
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return {"x-kubernetes-list-type": "atomic"}


def _without(node: Json, name: str) -> Json:
    return {key: value for key, value in node.items() if key != name}
