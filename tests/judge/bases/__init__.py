"""Pairs of models by hand; a mutant is the text of one of these files with one thing changed."""
