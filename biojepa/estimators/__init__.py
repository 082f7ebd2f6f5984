"""What the estimators of all modalities share: features, saved models, the linear probe."""
