"""The reduced problem: fewer and larger jobs in place of ops, at the same least peak; and the way back to ops."""
