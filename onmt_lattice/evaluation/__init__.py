"""The result of an evaluation as data: costs, codebooks, coded bits."""
