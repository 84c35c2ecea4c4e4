"""How good is the model: probes beside their baselines, reconstructions, the use of the latent, and pictures of it all."""
