"""The only room that imports a vendor's SDK, one file a vendor, loaded by name."""
