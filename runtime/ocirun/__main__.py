"""``python -m ocirun``: the command line without the launcher, slower to start."""

from __future__ import annotations

import sys

from ocirun.cli.main import main

sys.exit(main())
