"""The client that redeems a pairing token: `tallystick pair`."""
