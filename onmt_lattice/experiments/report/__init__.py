"""The results of training runs, and the figures, tables and pages drawn from them."""
