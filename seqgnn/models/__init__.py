"""Models by name, baselines, and text generation.

Models are built from the layers of :mod:`seqgnn.nn` and trained with :mod:`seqgnn.training`.
"""

from seqgnn.models.baselines.ngram import NGram
from seqgnn.models.forecast_encoders import Encoder, GraphEncoder, LagGCN, NodewiseEncoder
from seqgnn.models.forecaster import EncoderDecoder, Forecaster
from seqgnn.models.forecasters import build_forecaster
from seqgnn.models.generation import generate, stream
from seqgnn.models.options import ForecasterOptions, ModelOptions
from seqgnn.models.sampling import SamplingConfig, next_probabilities
from seqgnn.models.sequence_model import SequenceModel, build

__all__ = [
    "Encoder",
    "EncoderDecoder",
    "Forecaster",
    "ForecasterOptions",
    "GraphEncoder",
    "LagGCN",
    "ModelOptions",
    "NGram",
    "NodewiseEncoder",
    "SamplingConfig",
    "SequenceModel",
    "build",
    "build_forecaster",
    "generate",
    "next_probabilities",
    "stream",
]
