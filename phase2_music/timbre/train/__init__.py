"""Training of RAVE timbre models and their export. Needs the extra `train` (or a newer stack, see compatibility.py).

RAVE: Caillon and Esling, "RAVE: A variational autoencoder for fast and high-quality neural audio synthesis" (2021); the package
acids-rave is under the MIT licence. This module and options.py import no torch; the rest does.
"""
