"""How long media goes on after the right to it has ended: the command is in __main__.py."""
