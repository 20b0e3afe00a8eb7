"""Built-in cases with images."""
