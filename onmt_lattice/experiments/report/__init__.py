"""What training runs have come to: results, and the figures, tables and pages drawn from them."""
