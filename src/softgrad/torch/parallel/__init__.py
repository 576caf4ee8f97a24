"""Cross-entropy where the classes are shared out over the ranks of a process group.

cross_entropy, CrossEntropyLoss                  of each rank's own logits
linear_cross_entropy, LinearCrossEntropyLoss     of each rank's own rows of the head's coefficients

DTensors go to the functions of the same names in `softgrad.torch`.
"""

from softgrad.torch.parallel._cross_entropy import cross_entropy
from softgrad.torch.parallel._linear_cross_entropy import linear_cross_entropy
from softgrad.torch.parallel._modules import CrossEntropyLoss, LinearCrossEntropyLoss

__all__ = ["CrossEntropyLoss", "LinearCrossEntropyLoss", "cross_entropy", "linear_cross_entropy"]
