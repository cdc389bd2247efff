"""Training: OpenNMT-py's flow with our model, loss, trainer and saver in it."""
