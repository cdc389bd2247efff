"""The folds of lattices and codes, compiled; the mathematics is complete without them."""
