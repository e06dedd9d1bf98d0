"""The generated templates of the Helm chart: CRDs, RBAC and admission policies.

The functions that build the objects for `tallystick up` build them here with a mark in place of each text that a value
of Helm decides. An expression of Helm then replaces the mark. If values decide more than a text, each variant of the
object is in the template, with its condition.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.errors import TallystickError
from tallystick.install.installation import Installation
from tallystick.objects.kind import Kind
from tallystick.schema.crd import crd, yaml_text

Json = dict[str, Any]

FOLDER = Path("templates") / "generated"
HEADER = "{{- /* Generated from operator/tallystick by `make chart`. Change the code there, not this file. */ -}}\n"
USE_CASE = "mark-use-case"
"""The name of the one use case in the objects that `Build` returns."""

_NAMESPACE, _RELEASE, _WATCHED = "mark-namespace", "mark-release", "mark-watched"
_LABELS, _ALL_NAMESPACES = "mark-labels", "mark-all-namespaces"
_EXPRESSIONS = {
    _NAMESPACE: "$.Release.Namespace",
    _RELEASE: "$.Release.Name",
    _WATCHED: "$watched",
    USE_CASE: "$useCase",
}
_BRACES = "{{"


class ChartError(TallystickError):
    """The objects of an installation cannot be written as templates. The text has the object and the reason."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One combination of the values that change the form of objects.

    Attributes:
        installation: The installation, with marks.
        requester: The value `requester`.
        conditions: The conditions of Helm that hold, one for each value.
    """

    installation: Installation
    requester: str
    conditions: tuple[str, ...]


Build = Callable[[Variant], Sequence[Json]]
"""Builds RBAC and policies of an installation with the use case `USE_CASE`."""

_IS_POLICY = 'eq $.Values.requester "Policy"'
_WATCHES_SOME, _WATCHES_ALL = "$.Values.watchNamespaces", "not $.Values.watchNamespaces"
_HAS_ROLES, _HAS_NO_ROLES = "$.Values.userRoles.create", "not $.Values.userRoles.create"


def _variants() -> Iterator[Variant]:
    requesters = ((_IS_POLICY, "Policy"), ('eq $.Values.requester "ServiceAccount"', "ServiceAccount"))
    watched: tuple[tuple[str, tuple[str, ...]], ...] = ((_WATCHES_ALL, ()), (_WATCHES_SOME, (_WATCHED,)))
    roles = ((_HAS_ROLES, True), (_HAS_NO_ROLES, False))
    for (is_requester, requester), (is_watched, names), (has_roles, user_roles) in itertools.product(
        requesters, watched, roles
    ):
        installation = Installation(_NAMESPACE, _RELEASE, names, user_roles)
        yield Variant(installation, requester, (is_requester, is_watched, has_roles))


def write_templates(kinds: Sequence[Kind], build: Build, use_cases: Sequence[str], chart: Path) -> None:
    """Write the generated templates of a chart, and delete those that are not generated any more."""
    folder, files = chart / FOLDER, templates(kinds, build, use_cases)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()


def templates(kinds: Sequence[Kind], build: Build, use_cases: Sequence[str]) -> dict[str, str]:
    """Return the text of each generated template, by its path in the folder.

    Args:
        kinds: The kinds, for the CRDs.
        build: Builds the other objects of a variant.
        use_cases: The names of the use cases of the built-in table.

    Raises:
        ChartError: An object has a text that Helm would evaluate, or depends on values in a way that has no condition.
    """
    files = {"_use-cases.tpl": _use_case_names(use_cases)}
    for (name, condition), forms in itertools.groupby(_access(build), key=lambda form: (form.file, form.condition)):
        files[name] = files.get(name, HEADER) + _if(condition, "".join(form.text for form in forms))
    for kind in kinds:
        files[f"crds/{kind.resource.group}_{kind.resource.plural}.yaml"] = HEADER + _crd(crd(kind.model))
    return files


def _use_case_names(built_in: Sequence[str]) -> str:
    names = " ".join(f'"{name}"' for name in sorted(built_in))
    lines = (
        "{{- /* The names of the use cases, as a JSON list. */ -}}\n",
        '{{- define "tallystick.useCaseNames" -}}\n',
        "{{- keys .Values.useCases | default (list " + names + ") | sortAlpha | toJson -}}\n",
        _action("end"),
    )
    return HEADER + "".join(lines)


@dataclass(frozen=True, slots=True)
class _Form:
    """One form of an object: the file that has it, the condition of Helm, and its template."""

    file: str
    condition: str
    text: str


def _access(build: Build) -> Iterator[_Form]:
    """Yield all forms of RBAC and policies."""
    variants = list(_variants())
    built = {variant: {_key(body): _template(body) for body in _bodies(build, variant)} for variant in variants}
    for key in dict.fromkeys(key for bodies in built.values() for key in bodies):
        forms: dict[str, set[Variant]] = {}
        for variant, bodies in built.items():
            if key in bodies:
                forms.setdefault(bodies[key], set()).add(variant)
        for text, where in forms.items():
            yield _Form(_file_of(key[0]), _condition(where, variants, key), text)


def _bodies(build: Build, variant: Variant) -> Iterator[Json]:
    return (body for body in build(variant) if body["kind"] != "Namespace")  # `helm install` creates it


def _key(body: Json) -> tuple[str, str, str]:
    return body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"]


def _file_of(kind: str) -> str:
    if "AdmissionPolicy" in kind:
        return "policies.yaml"
    return "service-accounts.yaml" if kind == "ServiceAccount" else "rbac.yaml"


def _condition(where: set[Variant], variants: Sequence[Variant], key: tuple[str, str, str]) -> str:
    """Return the shortest conjunction of conditions that selects these variants; '' if it is all of them."""
    choices = [("", *dict.fromkeys(found)) for found in zip(*(each.conditions for each in variants), strict=True)]
    for chosen in sorted(itertools.product(*choices), key=lambda terms: sum(map(bool, terms))):
        terms = [term for term in chosen if term]
        if {variant for variant in variants if set(terms) <= set(variant.conditions)} == where:
            return " ".join(["and", *(f"({term})" for term in terms)]) if len(terms) > 1 else "".join(terms)
    raise ChartError(f"{' '.join(key)} depends on several values at once; a template needs one condition for each form")


def _if(condition: str, text: str) -> str:
    return _action(f"if {condition}") + text + _action("end") if condition else text


def _action(code: str) -> str:
    """Return a line of the template that Helm evaluates; it leaves no empty line."""
    return "{{- " + code + " }}\n"


def _value(expression: str) -> str:
    return "{{ " + expression + " }}"


def _template(body: Json) -> str:
    """Return the template of one object: its YAML, with expressions in place of the marks."""
    marked = _with_label_mark(_with_list_mark(body))
    text = yaml_text(marked)
    if _BRACES in text:
        raise ChartError(f"{' '.join(_key(body))} has {_BRACES} in a text, which Helm would evaluate; change the text")
    text = "---\n" + _with_expressions(text)
    if _WATCHED in _key(body)[1]:
        return _range("$watched := $.Values.watchNamespaces | sortAlpha", text)
    if USE_CASE in _key(body)[2]:
        return _range('$useCase := include "tallystick.useCaseNames" $ | fromJsonArray', text)
    return text


def _range(loop: str, text: str) -> str:
    return _action(f"range {loop}") + text + _action("end")


def _with_list_mark(value: Any) -> Any:
    """Replace the sorted list of own and watched namespaces, whose length a value decides."""
    if isinstance(value, Mapping):
        return {name: _with_list_mark(part) for name, part in value.items()}
    if value == [_NAMESPACE, _WATCHED]:
        return _ALL_NAMESPACES
    return [_with_list_mark(part) for part in value] if isinstance(value, list) else value


def _with_label_mark(body: Json) -> Json:
    labels = {**body["metadata"].get("labels", {}), _LABELS: ""}
    return {**body, "metadata": {**body["metadata"], "labels": labels}}


def _with_expressions(text: str) -> str:
    text = text.replace(f"    {_LABELS}: ''\n", _LABELS_OF_THE_CHART)
    text = text.replace(f": {_ALL_NAMESPACES}\n", ": " + _value('include "tallystick.ownNamespaces" $') + "\n")
    for mark, expression in _EXPRESSIONS.items():
        # A whole text is quoted: a namespace may be named 2024, which YAML reads as a number.
        for before in (": ", "- "):
            text = text.replace(f"{before}{mark}\n", f"{before}{_value(f'{expression} | quote')}\n")
        text = text.replace(mark, _value(expression))
    return text


_LABELS_OF_THE_CHART = "    " + _action('include "tallystick.labels" $ | nindent 4')


def _crd(definition: Json) -> str:
    """Return the template of a CRD."""
    name, spec = definition["metadata"]["name"], yaml_text({"spec": definition["spec"]})
    if _BRACES in spec:
        raise ChartError(f"CRD {name} has {_BRACES} in a text, which Helm would evaluate; change the text")
    head = yaml_text({"apiVersion": definition["apiVersion"], "kind": definition["kind"], "metadata": {"name": name}})
    keep = _if("$.Values.crds.keep", "  annotations:\n    helm.sh/resource-policy: keep\n")
    return _if("$.Values.crds.enabled", f"{head}{keep}  labels:\n{_LABELS_OF_THE_CHART}{spec}")
