"""The judge of pairs, judged: correct pairs that must be equal, mutants that must not, and how far rounding goes."""
