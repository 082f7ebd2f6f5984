"""Transformer blocks, patch embeddings, positions, predictors and pooling; torch only."""
