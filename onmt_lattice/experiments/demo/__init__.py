"""The demo: its configuration, and the summary of its results."""
