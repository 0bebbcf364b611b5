import numpy as np
import pytest
import torch

from ecgsk.networks import MTECG, MaskedMTECG
from ecgsk.networks._layers import sine_cosine_positions
from ecgsk.networks._mtecg import pick_tokens

SMALL = {"patch_size": 10, "width": 16, "depth": 2, "n_heads": 2}
DECODER = {"decoder_width": 12, "decoder_heads": 3}


def masked(n_leads=3, n_samples=80, **kwargs):
    torch.manual_seed(0)
    return MaskedMTECG(n_leads, n_samples, **{**SMALL, **DECODER, **kwargs}).eval()


def records(n_records=4, n_leads=3, n_samples=80):
    return torch.randn(n_records, n_leads, n_samples, generator=torch.Generator().manual_seed(1))


def cut(network, x, order):
    """Return masked and seen segments' samples as a mask of shape (n_records, n_samples)."""
    hidden = torch.zeros(order.shape, dtype=torch.bool)
    hidden.scatter_(1, order[:, -network.n_masked :], True)
    return hidden.repeat_interleave(network.encoder.patch_size, dim=1)[:, : x.shape[2]]


def test_the_published_size():
    network = MaskedMTECG()
    assert sum(p.numel() for p in network.parameters()) == 5_723_116
    assert network.encoder.n_tokens == 200 and network.n_masked == 100
    decoder = sum(p.numel() for name, p in network.named_parameters() if "encoder" not in name)
    assert sum(p.numel() for p in MTECG().parameters()) - 193 + decoder == 5_723_116


def test_the_decoder_is_one_block():
    assert len(masked().decoder_blocks) == 1
    assert len(masked(decoder_depth=3).decoder_blocks) == 3


@pytest.mark.parametrize(
    ("ratio", "n_masked"),
    [(0.5, 4), (0.25, 2), (0.75, 6), (1e-9, 1), (0.999999, 7), (0.44, 4)],
)
def test_number_of_masked_segments(ratio, n_masked):
    network = masked(mask_ratio=ratio)
    assert network.n_masked == n_masked
    order = network.draw_order(5)
    segments = network.segments(records(5))
    assert network.head(network.features(segments, order)).shape == (5, n_masked, 30)
    assert network.targets(segments, order).shape == (5, n_masked, 30)


def test_two_segments_are_one_masked_and_one_seen():
    network = masked(n_samples=20, mask_ratio=0.99)
    assert network.n_masked == 1
    assert network.features(network.segments(records(n_samples=20)), network.draw_order(4)).shape[
        :2
    ] == (4, 1)


def test_orders_are_permutations_that_differ_and_repeat():
    network = masked()
    torch.manual_seed(3)
    order = network.draw_order(50)
    assert torch.equal(order.sort(dim=1).values, torch.arange(8).expand(50, -1))
    assert len(order.unique(dim=0)) > 40
    masked_share = np.bincount(network.draw_order(4000)[:, -4:].ravel(), minlength=8) / 4000
    np.testing.assert_allclose(masked_share, 0.5, atol=0.04)
    torch.manual_seed(3)
    assert torch.equal(network.draw_order(50), order)


def test_what_is_masked_cannot_be_seen():
    network, x = masked(), records()
    order = network.draw_order(4)
    hidden = cut(network, x, order)[:, None]
    expected = network.features(network.segments(x), order)

    def changed(where):
        return network.features(network.segments(torch.where(where, 100 * x + 7, x)), order)

    assert torch.equal(changed(hidden), expected)
    assert not torch.isclose(changed(~hidden), expected).any(dim=2).all()


def test_each_seen_segment_counts_for_each_masked_one():
    network, x = masked(), records(1)
    order = network.draw_order(1)
    expected = network.features(network.segments(x), order)
    for segment in order[0, : -network.n_masked].tolist():
        other = x.clone()
        other[..., segment * 10 : (segment + 1) * 10] *= -3
        difference = network.features(network.segments(other), order) - expected
        assert (difference.abs().amax(dim=2) > 0).all()


def test_the_order_within_seen_and_within_masked_does_not_matter():
    network, segments = masked(), masked().segments(records())
    order = network.draw_order(4)
    other = torch.cat([order[:, :4].flip(1), order[:, 4:].flip(1)], dim=1)
    torch.testing.assert_close(
        network.features(segments, other), network.features(segments, order).flip(1)
    )


def test_records_do_not_see_one_another():
    network, segments = masked(), masked().segments(records())
    order = network.draw_order(4)
    torch.testing.assert_close(
        network.features(segments[1:2], order[1:2]), network.features(segments, order)[1:2]
    )


def targets_by_lead(target, x, n_leads=3):
    network = masked(n_leads, x.shape[2], target=target, input_scale=2.0)
    order = torch.stack([torch.randperm(8) for _ in x])
    found = network.targets(network.segments(x), order).unflatten(2, (n_leads, -1))
    # (records, leads, segments, samples) -> (records, masked, leads, samples)
    own = (x / 2).unflatten(2, (8, 10)).transpose(1, 2)
    own = torch.stack([record[row[-4:]] for record, row in zip(own, order, strict=True)])
    return found, own


def test_raw_targets_are_the_samples_themselves():
    found, own = targets_by_lead("raw", records())
    assert torch.equal(found, own)


def test_fluctuation_is_about_the_mean_of_each_lead_and_segment():
    found, own = targets_by_lead("fluctuation", records())
    torch.testing.assert_close(found, own - own.mean(dim=3, keepdim=True))
    assert found.mean(dim=3).abs().max() < 1e-6


@pytest.mark.parametrize("target", ["fluctuation", "normalized"])
def test_an_offset_of_one_lead_is_no_fluctuation(target):
    x = records()
    shifted = x.clone()
    shifted[:, 1, 20:30] += 5.0
    network, order = masked(target=target), torch.tensor([0, 1, 3, 4, 5, 6, 7, 2]).expand(4, -1)
    torch.testing.assert_close(
        network.targets(network.segments(shifted), order),
        network.targets(network.segments(x), order),
        rtol=0,
        atol=1e-5,
    )


def test_normalized_targets_have_unit_deviation_where_there_is_signal():
    found, own = targets_by_lead("normalized", 10 * records())
    torch.testing.assert_close(
        found.std(dim=3, correction=0), torch.ones(found.shape[:3]), rtol=1e-3, atol=0
    )
    assert found.mean(dim=3).abs().max() < 1e-5
    fluctuation = own - own.mean(dim=3, keepdim=True)
    assert (torch.cosine_similarity(found, fluctuation, dim=3) > 0.9999).all()


def test_flat_segments_do_not_explode():
    x = torch.full((2, 3, 80), 0.3) + 1e-6 * records(2)
    found, _ = targets_by_lead("normalized", x)
    assert found.abs().max() < 1e-3
    flat, _ = targets_by_lead("normalized", torch.zeros(2, 3, 80))
    assert torch.equal(flat, torch.zeros_like(flat))


def test_the_scale_of_recordings_is_divided_out():
    network = masked(input_scale=4.0)
    torch.testing.assert_close(
        network.segments(4 * records()), masked(input_scale=1.0).segments(records())
    )


def test_the_loss_reaches_every_parameter():
    network = masked().train()
    segments, order = network.segments(records()), network.draw_order(4)
    predicted = network.head(network.features(segments, order))
    (predicted - network.targets(segments, order)).square().mean().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


@pytest.mark.parametrize("width", [1, 7, 16])
def test_positions_tell_segments_apart(width):
    positions = sine_cosine_positions(200, width)
    assert positions.shape == (200, width) and positions.abs().max() <= 1
    assert len(positions.unique(dim=0)) == 200
    assert not positions[0, : -(-width // 2)].any()


def test_positions_are_the_sines_and_cosines_of_the_paper():
    positions = sine_cosine_positions(50, 8).double().numpy()
    t, k = np.arange(50)[:, None], np.arange(4)
    angle = t / 10_000 ** (k / 4)
    np.testing.assert_allclose(positions, np.hstack([np.sin(angle), np.cos(angle)]), atol=1e-5)


def test_a_start_for_masking_knows_positions_from_the_first_step_on():
    torch.manual_seed(0)
    network = MTECG(3, 80, start="sine-cosine", **SMALL)
    assert torch.equal(network.positions[0, 1:], sine_cosine_positions(8, 16))
    limit = (6 / (16 + 48)) ** 0.5  # Xavier's rule
    weight = network.blocks[0].qkv.weight
    assert 0.95 * limit < weight.abs().max() <= limit
    assert not network.blocks[0].qkv.bias.any()
    assert MTECG(3, 80, **SMALL).positions.abs().max() < 0.1
    both = masked()
    assert torch.equal(both.encoder.positions[0, 1:], sine_cosine_positions(8, 16))
    assert torch.equal(both.decoder_positions[0, 1:], sine_cosine_positions(8, 12))
    assert all(p.requires_grad for p in both.parameters())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"target": "median"}, "target='median'.*fluctuation"),
        ({"decoder_width": 10}, "decoder_width=10 is no multiple of decoder_heads=3"),
        ({"width": 15}, "width=15 is no multiple of n_heads=2"),
        ({"pooling": "max"}, "pooling='max'"),
        ({"patch_size": 80}, "n_samples=80 makes one segment of patch_size=80.*smaller"),
    ],
)
def test_wrong_arguments_are_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        masked(**arguments)


def test_a_wrong_start_is_named():
    with pytest.raises(ValueError, match="start='cosine'.*sine-cosine"):
        MTECG(3, 80, start="cosine", **SMALL)


def test_every_parameter_has_a_depth():
    network = masked()
    depths = {name: network.layer_of(name) for name, _ in network.named_parameters()}
    assert set(depths.values()) == set(range(network.n_layers))
    assert depths["encoder.positions"] == depths["encoder.patch_embed.weight"] == 0
    assert depths["encoder.blocks.1.qkv.weight"] == 2
    assert depths["encoder.norm.weight"] == depths["mask_token"] == network.n_layers - 1
    assert network.no_weight_decay <= set(depths)


def test_a_record_that_fills_no_whole_segment_is_padded():
    network, x = masked(n_samples=75), records(n_samples=75)
    segments = network.segments(x)
    assert segments.shape == (4, 8, 30)
    padded = torch.nn.functional.pad(x, (0, 5))
    assert torch.equal(segments, network.segments(padded))


def test_the_class_token_does_not_care_for_the_order_of_entry():
    network = MTECG(3, 80, start="sine-cosine", **SMALL).eval()
    segments = network.segment(records())
    order = torch.stack([torch.randperm(8) for _ in range(4)])
    plain, shuffled = network.encode(segments), network.encode(segments, order)
    torch.testing.assert_close(shuffled[:, 0], plain[:, 0])
    torch.testing.assert_close(shuffled[:, 1:], pick_tokens(plain[:, 1:], order))
    # Without their positions, the order would be lost.
    moved = network.encode(pick_tokens(segments, order))
    assert (moved[:, 0] - plain[:, 0]).abs().max() > 1e-3


def test_segments_that_are_not_seen_do_not_enter():
    network = MTECG(3, 80, **SMALL).eval()
    segments = network.segment(records())
    seen = torch.tensor([[5, 0, 2]]).expand(4, -1)
    tokens = network.encode(segments, seen)
    assert tokens.shape == (4, 4, 16)
    others = segments.clone()
    others[:, [1, 3, 4, 6, 7]] = 100.0
    assert torch.equal(network.encode(others, seen), tokens)
