"""`tallystick check`: look at a whole installation for a person, or for `helm test`. It stores nothing."""
