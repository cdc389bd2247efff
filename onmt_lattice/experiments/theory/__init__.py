"""The paper's theory as experiments: each a table, and where it helps a figure."""
