"""What a trained model does: score, search, encode, decode, compress."""
