"""The ledger at rest: pending promises, entries, tree nodes, checkpoints, and which entries belong to a query."""
