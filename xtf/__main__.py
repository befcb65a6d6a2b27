"""``python -m xtf``: the same as the ``xtf`` command."""

from xtf.cli import main

main()
