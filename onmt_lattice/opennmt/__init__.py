"""The bridge to OpenNMT-py, and the only part of the package that imports it."""
