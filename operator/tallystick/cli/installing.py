"""The parts that the features add to an installation, built from their settings."""

from collections.abc import Sequence
from typing import Any

from tallystick.cli.settings import FeatureSettings
from tallystick.feature import Feature
from tallystick.install.installation import Installation
from tallystick.install.part import InstallPart


def install_parts(
    installation: Installation, features: Sequence[Feature[Any]], settings: FeatureSettings
) -> list[InstallPart]:
    """Build the part of each feature. `settings` is an object of each feature's model."""
    return [feature.installation(installation, settings) for feature in features]
