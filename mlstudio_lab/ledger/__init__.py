"""Everything remembered: the only SQL, its migrations, and the audit chain."""
