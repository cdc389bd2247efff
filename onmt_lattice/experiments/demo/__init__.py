"""The demo: its configuration, and what there is to see when it has run."""
