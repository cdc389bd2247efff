"""Text autoencoders for OpenNMT-py whose sentence representation is paid for in bits."""

__version__ = "0.1.0"
