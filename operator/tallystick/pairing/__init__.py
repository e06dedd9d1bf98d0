"""Pairing: the kinds PairingToken and MasterToken."""
