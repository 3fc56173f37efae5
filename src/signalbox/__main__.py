"""`python -m signalbox` is the `signalbox` command."""

from signalbox.cli.main import main

raise SystemExit(main())
