"""What a release is tried on: the Pythons of this machine, empty environments, and the distributions."""
