"""What each command does, without its parser."""
