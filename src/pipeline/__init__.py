"""Which autoencoder's latent space can a classifier learn from, on your medical images, and why?"""
