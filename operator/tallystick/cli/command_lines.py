"""The parts of the command line that the features add.

A test compares them with the registry, which imports whole features.
"""

from tallystick.clusterkeys.command_line import COMMAND_LINE as CLUSTER_KEYS
from tallystick.fleet.command_line import COMMAND_LINE as FLEET
from tallystick.pairing.command_line import COMMAND_LINE as PAIRING
from tallystick.runtime.flags import CommandLine

COMMAND_LINES: tuple[CommandLine, ...] = (PAIRING, CLUSTER_KEYS, FLEET)
