"""`tallystick`: the command line, and the composition roots."""
