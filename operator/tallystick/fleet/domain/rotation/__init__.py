"""The counts, texts and status of a rotation, from the devices and from its next step."""
