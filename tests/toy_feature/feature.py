"""The toy: one kind with a Secret, a setting, a gauge and an admission policy. The product has no line about it."""

from typing import Annotated

import typer

from tallystick.controller.part import ControllerContext, ControllerPart
from tallystick.feature import Feature, Flag
from tallystick.install.installation import Installation
from tallystick.install.part import InstallPart, refuses
from tallystick.install.policies import policy, rule
from tallystick.objects.kind import Kind
from tallystick.runtime.gauges import Gauge
from tallystick.schema.meta import API_VERSION
from tests.toy_feature.api import GREETINGS, Greeting
from tests.toy_feature.reconciler import SECRET, Greetings
from tests.toy_feature.settings import ToySettings

HEALS = Gauge(name="tallystick_toy_heals", help="Secrets of Greetings that were healed.")
RUDE, RUDE_TEXT = "Go away", "a greeting is polite"


def _controller(context: ControllerContext[ToySettings]) -> ControllerPart:
    greetings = Greetings(context)
    return ControllerPart(
        reconcilers={GREETINGS: greetings},
        readings={HEALS: lambda _: greetings.heals},
        ready={"salutation": context.settings.salutation},
    )


def _installation(installation: Installation, _: ToySettings) -> InstallPart:
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule(["CREATE"], GREETINGS)]},
        "validations": [{"expression": f"object.spec.text != '{RUDE}'", "message": RUDE_TEXT}],
    }
    rude = {
        "apiVersion": API_VERSION,
        "kind": GREETINGS.kind,
        "metadata": {"name": "tallystick-probe", "namespace": installation.namespace},
        "spec": {"text": RUDE},
    }
    return InstallPart(
        policies=policy("ValidatingAdmissionPolicy", "manners", spec, installation),
        probes={"greetings must be polite": refuses(GREETINGS, rude, RUDE_TEXT)},
    )


FEATURE = Feature(
    kinds=(
        Kind(
            model=Greeting,
            typical={
                "metadata": {"name": "", "namespace": "default"},
                "spec": {"text": ""},
                "status": {"stored": True},
            },
            secret=SECRET,
        ),
    ),
    settings=ToySettings,
    flags={
        "controller": (
            Flag(
                name="salutation",
                option=Annotated[str | None, typer.Option(help="The first word of greetings. Default: Hello.")],
            ),
        )
    },
    gauges=(HEALS,),
    controller=_controller,
    installation=_installation,
)
