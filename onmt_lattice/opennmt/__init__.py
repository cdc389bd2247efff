"""The bridge to OpenNMT-py, and the only part of the package that imports it."""

from importlib.util import find_spec

from onmt_lattice.errors import UserError

if find_spec("onmt") is None:  # from Python 3.13 on, no package can ask for it: see setup.py
    raise UserError(
        "OpenNMT-py is not installed: expected version 2.3.0, from pip install --no-deps "
        "OpenNMT-py==2.3.0"
    )
