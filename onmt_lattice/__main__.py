"""``python -m onmt_lattice`` is ``onmt_lattice``."""

from onmt_lattice.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
