"""The models of PairingToken and MasterToken, and their CEL rules."""
