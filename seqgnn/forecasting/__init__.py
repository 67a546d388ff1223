"""Forecasting on graphs: models by name, the baselines that they must beat, and scores over whole sets."""

from seqgnn.forecasting.baselines import STRENGTHS, Baseline, fit_baseline
from seqgnn.forecasting.encoders import Encoder, GCNOverLags, OnEachNode, OnGraph
from seqgnn.forecasting.forecaster import EncoderDecoder, Forecaster
from seqgnn.forecasting.models import build_forecaster
from seqgnn.forecasting.scores import ForecastScores, ForecastSums, forecast_loss
from seqgnn.forecasting.task import Forecasting, ForecastObjective, Protocol

__all__ = [
    "STRENGTHS",
    "Baseline",
    "Encoder",
    "EncoderDecoder",
    "ForecastObjective",
    "ForecastScores",
    "ForecastSums",
    "Forecaster",
    "Forecasting",
    "GCNOverLags",
    "OnEachNode",
    "OnGraph",
    "Protocol",
    "build_forecaster",
    "fit_baseline",
    "forecast_loss",
]
