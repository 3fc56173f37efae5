"""`python -m signalbox.simulator`."""

from __future__ import annotations

import sys

from signalbox.simulator.main import main

sys.exit(main())
