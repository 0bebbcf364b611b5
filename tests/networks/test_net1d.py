"""The network of ECGFounder."""

import numpy as np
import pytest
import torch
from torch.nn.functional import silu

from ecgsk.networks import NET1D_PRESETS, Net1D, StochasticDepth, set_dropout, set_stochastic_depth


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture
def nano():
    torch.manual_seed(0)
    return Net1D(3, 5, **NET1D_PRESETS["nano"]).eval()


@pytest.mark.parametrize(
    ("preset", "n_leads", "n_outputs", "expected"),
    [
        ("12-lead", 12, 150, 30_752_646),
        ("1-lead", 1, 150, 30_741_382),
        ("12-lead", 12, 71, 30_671_671),
        ("12-lead", 12, 1, 30_599_921),
    ],
)
def test_the_published_size(preset, n_leads, n_outputs, expected):
    with torch.device("meta"):
        network = Net1D(n_leads, n_outputs, **NET1D_PRESETS[preset])
    assert count(network) == expected
    assert network.head.in_features == 1024


def test_the_published_lengths():
    with torch.device("meta"):
        network = Net1D()
        x = silu(network.stem(torch.empty(1, 12, 5000)))
        lengths = [x.shape[-1]]
        for stage in network.stages:
            for block in stage:
                x = block(x)
            lengths.append(x.shape[-1])
    assert lengths == [2500, 1250, 625, 313, 157, 79, 40, 20]


def convolved(x, weight, bias, stride, groups=1):
    """A convolution with "same" padding, written as a sum."""
    n_out, width, kernel = weight.shape
    length = -(-x.shape[-1] // stride)
    missing = max(0, (length - 1) * stride + kernel - x.shape[-1])
    x = np.pad(x, ((0, 0), (missing // 2, missing - missing // 2)))
    out = np.empty((n_out, length))
    for channel in range(n_out):
        first = channel // (n_out // groups) * width
        for i in range(length):
            seen = x[first : first + width, i * stride : i * stride + kernel]
            out[channel, i] = (seen * weight[channel]).sum() + bias[channel]
    return out


def by_hand(network, x):
    """The network in NumPy, after the published description."""
    state = {name: value.double().numpy() for name, value in network.state_dict().items()}

    def swish(values):
        return values / (1 + np.exp(-values))

    def dense(values, name):
        return state[f"{name}.weight"] @ values + state[f"{name}.bias"]

    def conv(values, name, stride=1, groups=1):
        return convolved(values, state[f"{name}.weight"], state[f"{name}.bias"], stride, groups)

    x = swish(conv(x, "stem", 2))
    for s, stage in enumerate(network.stages):
        for b in range(len(stage)):
            name = f"stages.{s}.{b}"
            width = len(state[f"{name}.conv1.bias"])
            shortcut = x
            if b == 0:
                shortcut = np.pad(x, ((0, 0), (0, 1)))
                shortcut = shortcut[:, : shortcut.shape[1] // 2 * 2]
                shortcut = shortcut.reshape(len(x), -1, 2).max(axis=2)
            more = width - len(x)
            shortcut = np.pad(shortcut, ((more // 2, more - more // 2), (0, 0)))
            y = x if (s, b) == (0, 0) else swish(x)
            y = conv(y, f"{name}.conv1")
            y = conv(swish(y), f"{name}.conv2", 2 if b == 0 else 1, width // 16)
            y = conv(swish(y), f"{name}.conv3")
            gains = dense(swish(dense(y.mean(axis=1), f"{name}.squeeze")), f"{name}.excite")
            x = shortcut + y / (1 + np.exp(-gains))[:, None]
    return dense(x.mean(axis=1), "head")


@pytest.mark.parametrize("n_samples", [64, 63, 61, 17, 3, 1])
def test_it_is_the_published_network_at_any_length(nano, n_samples):
    x = torch.randn(2, 3, n_samples, generator=torch.Generator().manual_seed(n_samples))
    with torch.inference_mode():
        found = nano(x).numpy()
    expected = [by_hand(nano, record.double().numpy()) for record in x]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_dropped_branch_leaves_the_shortcut(nano):
    """The only public re-implementation of post-training has a drop path that does nothing."""
    block = nano.stages[1][0].train()
    x = torch.randn(64, 16, 50)
    whole, shortcut = block(x), block._shortcut(x)
    block.depth.rate = 0.5
    torch.manual_seed(0)
    dropped = block(x)
    lost = (dropped == shortcut).all(dim=2).all(dim=1)
    assert 16 <= lost.sum() <= 48
    kept = shortcut + 2 * (whole - shortcut)
    torch.testing.assert_close(dropped[~lost], kept[~lost])
    assert not torch.allclose(dropped[~lost], whole[~lost])
    # In the mean over many draws it is the branch itself.
    mean = torch.stack([block(x) for _ in range(400)]).mean(dim=0)
    assert (mean - whole).abs().mean() < 0.1 * (whole - shortcut).abs().mean()


def test_every_block_can_be_dropped():
    torch.manual_seed(0)
    network = Net1D(3, 5, **NET1D_PRESETS["small"])
    set_stochastic_depth(network, 1 - 1e-12, "constant")
    x = torch.randn(4, 3, 200)
    network.train()
    # The stem and shortcuts alone: weights of blocks have no say.
    first = network(x)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("stages"):
                parameter.add_(1.0)
    torch.testing.assert_close(network(x), first)
    network.eval()
    assert not torch.allclose(network(x), first)


def test_rates_grow_linearly_over_the_blocks():
    with torch.device("meta"):
        network = Net1D()
    depths = [layer for layer in network.modules() if isinstance(layer, StochasticDepth)]
    assert len(depths) == 20
    set_stochastic_depth(network, 0.38)
    np.testing.assert_allclose([d.rate for d in depths], np.linspace(0, 0.38, 20))
    set_stochastic_depth(network, 0.3, "constant")
    assert {d.rate for d in depths} == {0.3}


def test_rates_change_nothing_when_it_predicts(nano):
    x = torch.randn(2, 3, 100)
    before = nano(x)
    set_stochastic_depth(nano, 0.5)
    set_dropout(nano, 0.5)
    torch.testing.assert_close(nano(x), before, rtol=0, atol=0)
    nano.train()
    assert not torch.allclose(nano(x), before)


def test_depth_of_parameters(nano):
    found = {name: nano.layer_of(name) for name, _ in nano.named_parameters()}
    assert found["stem.weight"] == 0
    assert found["stages.0.0.conv1.weight"] == 1
    assert found["stages.2.1.excite.bias"] == 4
    assert found["head.bias"] == nano.n_layers - 1 == 5
    assert sorted(set(found.values())) == list(range(6))


def test_gradients_reach_every_parameter(nano):
    nano.train()(torch.randn(4, 3, 100)).square().sum().backward()
    for name, parameter in nano.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    "sizes",
    [
        {"widths": (64, 32), "depths": (1, 1)},
        {"widths": (64, 72), "depths": (1, 1)},
        {"widths": (64, 64), "depths": (1,)},
        {"widths": (), "depths": ()},
        {"widths": (64, 64), "depths": (1, 0)},
        {"stem_width": 128},
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="widths="):
        Net1D(**sizes)
