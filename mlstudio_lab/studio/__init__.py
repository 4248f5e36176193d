"""The verbs people use on modules, runs, datasets, lineage and the cluster, one file a noun."""
