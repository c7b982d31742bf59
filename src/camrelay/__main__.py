"""`python -m camrelay` is the `camrelay` command."""

from camrelay.cli import main

main()
