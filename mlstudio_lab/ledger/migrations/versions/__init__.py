"""The revisions, named `rNNNN_…` in the order in which they apply; each has its plain SQL in `STATEMENTS`."""
