"""TODO-LEVEL."""
