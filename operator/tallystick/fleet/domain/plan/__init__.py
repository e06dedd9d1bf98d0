"""The plan of a rotation: its course in virtual time, the warnings about it, and what comes next while it runs."""
