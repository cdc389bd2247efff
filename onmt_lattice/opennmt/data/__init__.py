"""From the lines of corpora to batches, at a position that can be resumed."""
