"""The reproduction of the paper: corpus, data, sweeps, theory and reports."""
