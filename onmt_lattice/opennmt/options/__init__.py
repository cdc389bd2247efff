"""Options: from command line and YAML to typed configuration."""
