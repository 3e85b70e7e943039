"""The models of the coverage suite, a file each kind, and what they are built from."""
