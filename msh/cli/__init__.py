"""The command line: ``msh``."""

from msh.cli.main import app, main

__all__ = ["app", "main"]
