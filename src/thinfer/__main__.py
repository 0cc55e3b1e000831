"""`python -m thinfer`: the command line."""

from thinfer.cli.main import main

raise SystemExit(main())
