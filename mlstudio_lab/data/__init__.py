"""Values: codecs, content digests, one object graph with identity, file digests, column lineage."""
