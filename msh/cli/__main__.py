"""``python -m msh.cli``: the same as ``msh``."""

from msh.cli.main import main

main()
