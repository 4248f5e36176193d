"""How frames, arrays and tables are taken apart and stored, one file a vendor."""
