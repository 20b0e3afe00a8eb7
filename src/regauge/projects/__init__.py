"""Built-in cases: each module imports its own framework and is loaded in a worker, never by the parent."""
