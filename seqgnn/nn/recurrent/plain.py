"""The classes of plain recurrent layers and cells, those of torch.nn and those of this package."""

from torch import nn

from seqgnn.nn.recurrent._sequence_layer import SequenceLayer
from seqgnn.nn.recurrent.minimal import MinimalCell

PLAIN_LAYERS = (nn.RNNBase, SequenceLayer)
PLAIN_CELLS = (nn.RNNCellBase, MinimalCell)
