"""Minimising the objective of a fit."""
