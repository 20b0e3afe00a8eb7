"""Built-in cases with text."""
