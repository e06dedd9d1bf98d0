"""The pure decisions of fleets: facts about devices, tokens and rotations go in, a decision comes out."""
