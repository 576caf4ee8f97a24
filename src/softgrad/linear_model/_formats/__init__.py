"""Files of a fitted model."""
