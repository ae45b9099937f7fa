"""Many methods on the same data: one table, one report."""
