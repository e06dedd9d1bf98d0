"""The parts that the features add to an installation, built from their settings; and the Helm chart of all of them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tallystick.cli.settings import FeatureSettings, feature_settings
from tallystick.errors import InvalidSettingError
from tallystick.feature import Feature
from tallystick.install.chart import USE_CASE, Variant, write_templates
from tallystick.install.installation import Installation
from tallystick.install.manifests import access
from tallystick.install.part import InstallPart
from tallystick.install.values_files import write_values
from tallystick.pairing.domain.use_cases import use_cases
from tallystick.registry import FEATURES, KINDS

Json = dict[str, Any]


def install_parts(
    installation: Installation, features: Sequence[Feature[Any]], settings: FeatureSettings
) -> list[InstallPart]:
    """Build the part of each feature. `settings` is an object of each feature's model."""
    return [feature.installation(installation, settings) for feature in features]


def write_chart(chart: Path) -> None:
    """Write the generated files of the Helm chart in this folder.

    Raises:
        InvalidSettingError: The folder cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "use-cases.yaml"
        table.write_text(yaml.safe_dump({"useCases": {USE_CASE: {"scope": [USE_CASE]}}}), encoding="utf-8")

        def build(variant: Variant) -> Sequence[Json]:
            settings = feature_settings(requester=variant.requester, use_cases_file=table)
            return access(variant.installation, KINDS, install_parts(variant.installation, FEATURES, settings))

        try:
            chart.mkdir(parents=True, exist_ok=True)
            write_templates(KINDS, build, list(use_cases().rows), chart)
            write_values(chart)
        except OSError as error:
            raise InvalidSettingError(
                f"--chart-to {chart} cannot be written: {error.strerror}; set a folder where you can write"
            ) from error
