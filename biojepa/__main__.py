"""`python -m biojepa`: the command line without the installed script."""

import sys

from biojepa.cli.main import main

sys.exit(main())
