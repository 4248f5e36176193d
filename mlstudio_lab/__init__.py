"""ML Studio Lab."""
