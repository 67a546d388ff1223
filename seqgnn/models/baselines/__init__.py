"""Baselines: chance, majority, linear models and n-grams; persistence, seasonal means and ridge regressions."""
