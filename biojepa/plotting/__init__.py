"""Figures: ECG paper with masks, training curves, embedding maps."""
