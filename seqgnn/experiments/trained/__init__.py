"""Trained models loaded from their runs: studied again, or used for forecasts."""
