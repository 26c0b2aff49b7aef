"""Tell people what they would otherwise have to look for."""
