import copy

import pytest
import torch

from ecgsk.networks import MTECG, MTECG_PRESETS, StochasticDepth, set_dropout, set_stochastic_depth


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture
def small():
    torch.manual_seed(0)
    return MTECG(12, 100, 3, patch_size=10, width=16, depth=3, n_heads=2).eval()


@pytest.mark.parametrize(
    ("n_outputs", "expected"), [(1, 5_435_521), (28, 5_440_732), (71, 5_449_031)]
)
def test_the_published_size(n_outputs, expected):
    network = MTECG(n_outputs=n_outputs)
    assert count(network) == expected
    assert network.n_tokens == 200


def test_the_preset_is_the_published_network():
    size = dict(MTECG_PRESETS["ti_12_25"])
    patch_size = round(size.pop("patch_duration") * 500)
    assert (size, patch_size) == ({"width": 192, "depth": 12, "n_heads": 3}, 25)


def test_a_segment_holds_all_leads_of_its_stretch_of_time(small):
    x = torch.arange(12 * 100.0).reshape(1, 12, 100)
    segments = small.segment(x)
    assert segments.shape == (1, 10, 120)
    torch.testing.assert_close(segments[0, 4].reshape(12, 10), x[0, :, 40:50])


def test_a_record_of_odd_length_is_padded_with_zeros_at_its_end():
    network = MTECG(2, 93, 1, patch_size=10, width=8, depth=1, n_heads=1).eval()
    assert network.n_tokens == 10
    x = torch.randn(1, 2, 93)
    padded = torch.cat([x, torch.zeros(1, 2, 7)], dim=-1)
    torch.testing.assert_close(network(x), network(padded))


def test_blocks_agree_with_torchs_own_transformer_layer(small):
    """The same weights in torch's encoder layer give the same tokens."""
    block = small.blocks[0]
    layer = torch.nn.TransformerEncoderLayer(
        16,
        2,
        64,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=1e-6,
        batch_first=True,
        norm_first=True,
    ).eval()
    names = {
        "self_attn.in_proj_weight": block.qkv.weight,
        "self_attn.in_proj_bias": block.qkv.bias,
        "self_attn.out_proj.weight": block.projection.weight,
        "self_attn.out_proj.bias": block.projection.bias,
        "linear1.weight": block.mlp[0].weight,
        "linear1.bias": block.mlp[0].bias,
        "linear2.weight": block.mlp[3].weight,
        "linear2.bias": block.mlp[3].bias,
        "norm1.weight": block.norm1.weight,
        "norm1.bias": block.norm1.bias,
        "norm2.weight": block.norm2.weight,
        "norm2.bias": block.norm2.bias,
    }
    layer.load_state_dict(names)
    tokens = torch.randn(2, 7, 16)
    torch.testing.assert_close(block(tokens), layer(tokens), atol=1e-5, rtol=1e-5)


def test_positions_matter(small):
    x = torch.randn(1, 12, 100)
    assert not torch.allclose(small(x), small(x.roll(10, dims=-1)))


@pytest.mark.parametrize(
    ("kwargs", "said"), [({"width": 10, "n_heads": 3}, "multiple"), ({"pooling": "max"}, "'mean'")]
)
def test_impossible_networks_are_refused(kwargs, said):
    with pytest.raises(ValueError, match=said):
        MTECG(**kwargs)


def test_mean_pooling_reads_the_segments_not_the_class_token():
    network = MTECG(1, 40, 1, patch_size=10, width=8, depth=1, n_heads=1, pooling="mean").eval()
    tokens = []
    network.blocks[0].register_forward_hook(lambda *args: tokens.append(args[2]))
    features = network.features(torch.randn(2, 1, 40))
    torch.testing.assert_close(features, network.norm(tokens[0][:, 1:].mean(dim=1)))


def test_layers_are_counted_from_the_input(small):
    depths = {name: small.layer_of(name) for name, _ in small.named_parameters()}
    assert {depths[n] for n in ("cls_token", "positions", "patch_embed.weight")} == {0}
    assert depths["blocks.2.qkv.weight"] == 3
    assert depths["head.bias"] == depths["norm.weight"] == small.n_layers - 1 == 4


def test_stochastic_depth_drops_whole_records_and_keeps_the_expectation():
    torch.manual_seed(0)
    layer = StochasticDepth(0.25).train()
    out = layer(torch.ones(20_000, 3))
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert (out == out[:, :1]).all()
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(layer.eval()(out), out)


def test_stochastic_depth_acts_inside_the_network(small):
    x = torch.randn(64, 12, 100)
    calm = copy.deepcopy(small).train()
    torch.testing.assert_close(calm(x), small(x))
    set_stochastic_depth(calm, 0.5)
    assert not torch.allclose(calm(x), small(x))
    # A rate of almost 1 on every branch leaves the tokens as they entered the blocks.
    set_stochastic_depth(calm, 1 - 1e-9, rule="constant")
    calm.blocks.train()
    first = (calm.cls_token + calm.positions[:, :1]).expand(64, -1, -1)[:, 0]
    torch.testing.assert_close(calm.features(x), calm.norm(first))


def test_rates_grow_linearly_over_blocks(small):
    set_stochastic_depth(small, 0.2)
    rates = [(b.attention_depth.rate, b.mlp_depth.rate) for b in small.blocks]
    assert rates == [(0.0, 0.0), (0.1, 0.1), (0.2, 0.2)]


def test_dropout_is_set_everywhere(small):
    set_dropout(small, 0.3)
    rates = {m.p for m in small.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.3}
    x = torch.randn(4, 12, 100)
    assert not torch.allclose(small.train()(x), small.eval()(x))


def test_full_dropout_silences_both_branches_of_every_block(small):
    x = torch.randn(4, 12, 100)
    set_dropout(small, 1.0)
    first = (small.cls_token + small.positions[:, :1]).expand(4, -1, -1)[:, 0]
    torch.testing.assert_close(small.train().features(x), small.norm(first))
