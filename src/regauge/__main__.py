"""`python -m regauge` is the command `regauge`."""

import sys

from regauge.cli.main import main

sys.exit(main())
