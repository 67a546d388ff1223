"""Transforms: scaling, imputation, calendar features and splits, fitted on training data only."""
