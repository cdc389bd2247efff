"""Text to bytes and back, byte for byte, under a model of its tokens."""
