"""A user's networks, in a module of their own so that files can name them."""

from torch import nn

from ecgsk.networks import StochasticDepth


class SmallCNN(nn.Module):
    """Reads recordings of any length from one sample on."""

    def __init__(self, n_leads, n_samples, n_outputs, *, width=8, dropout=0.0):
        super().__init__()
        self.first = nn.Conv1d(n_leads, width, 9, stride=2, padding=4)
        self.second = nn.Conv1d(width, width, 9, stride=2, padding=4)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, n_outputs)

    def features(self, x):
        return self.dropout(self.second(self.first(x).relu()).relu().mean(dim=2))

    def forward(self, x):
        return self.head(self.features(x))


class WithBranches(SmallCNN):
    """Has a branch that stochastic depth can drop, and no forward of its own."""

    def __init__(self, n_leads, n_samples, n_outputs, **kwargs):
        super().__init__(n_leads, n_samples, n_outputs, **kwargs)
        self.branch = nn.Linear(self.head.in_features, self.head.in_features)
        self.depth = StochasticDepth()

    def features(self, x):
        features = super().features(x)
        return features + self.depth(self.branch(features))

    forward = nn.Module.forward
