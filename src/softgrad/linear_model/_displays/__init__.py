"""Plots in the manner of scikit-learn's Display classes."""
