"""Figures behind the claims of docs/benchmarks.md; `make bench` runs all of them."""
