"""How a ledger came to its present shape: one alembic revision a file, applied by `ledger.schema`."""
