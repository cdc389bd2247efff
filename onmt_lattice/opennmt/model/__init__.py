"""The autoencoder: encoder, bottleneck, decoder and output layer."""
