from pathlib import Path
from typing import Any

import pytest

from tallystick.cli.installing import write_chart
from tallystick.errors import InvalidSettingError
from tallystick.install.chart import USE_CASE, Build, ChartError, Variant, templates

Json = dict[str, Any]


def a_role(variant: Variant, *, name: str = "", rules: Any = ()) -> Json:
    installation = variant.installation
    metadata = {"name": name or installation.cluster_name("part"), "namespace": installation.namespace}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}


def rbac_of(build: Build) -> str:
    return templates((), build, ["b", "a"])["rbac.yaml"]


def test_names_become_expressions_and_whole_texts_are_quoted() -> None:
    text = rbac_of(lambda variant: [a_role(variant)])

    assert "name: part.{{ $.Release.Name }}.{{ $.Release.Namespace }}.tallystick.dev\n" in text
    assert "namespace: {{ $.Release.Namespace | quote }}\n" in text
    assert "{{- if" not in text


def test_an_object_of_some_values_has_their_condition() -> None:
    text = rbac_of(lambda variant: [a_role(variant)] if variant.requester == "Policy" else [])

    assert text.count("kind: Role\n") == 1
    assert '{{- if eq $.Values.requester "Policy" }}\n---\n' in text


def test_an_object_of_two_values_has_both_conditions() -> None:
    def build(variant: Variant) -> list[Json]:
        both = variant.requester == "Policy" and not variant.installation.watch_namespaces
        return [a_role(variant)] if both else []

    assert '{{- if and (eq $.Values.requester "Policy") (not $.Values.watchNamespaces) }}\n' in rbac_of(build)


def test_an_object_that_differs_has_a_form_for_each_value() -> None:
    text = rbac_of(lambda variant: [a_role(variant, rules=[variant.requester])])

    assert text.count("kind: Role\n") == 2
    assert "- ServiceAccount\n" in text.partition('{{- if eq $.Values.requester "ServiceAccount" }}')[2]


def test_a_form_without_one_condition_is_an_error() -> None:
    def build(variant: Variant) -> list[Json]:
        either = variant.requester == "Policy" or not variant.installation.watch_namespaces
        return [a_role(variant)] if either else []

    with pytest.raises(ChartError, match="depends on several values at once"):
        rbac_of(build)


def test_an_object_of_a_use_case_is_repeated_for_each() -> None:
    text = rbac_of(lambda variant: [a_role(variant, name=f"may-{USE_CASE}", rules=[USE_CASE])])

    assert '{{- range $useCase := include "tallystick.useCaseNames" $ | fromJsonArray }}\n' in text
    assert "name: may-{{ $useCase }}\n" in text
    assert "- {{ $useCase | quote }}\n" in text


def test_the_built_in_use_cases_are_the_default() -> None:
    assert 'default (list "a" "b")' in templates((), lambda _: [], ["b", "a"])["_use-cases.tpl"]


def test_a_text_that_helm_would_evaluate_is_an_error() -> None:
    with pytest.raises(ChartError, match=r"has \{\{ in a text, which Helm would evaluate"):
        rbac_of(lambda variant: [a_role(variant, rules=["{{ .Values }}"])])


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InvalidSettingError, match=r"--chart-to .*/file/chart cannot be written: .*; set a folder"):
        write_chart(tmp_path / "file" / "chart")
