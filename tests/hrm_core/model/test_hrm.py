"""The token front end and ACT: published sizes and names, one segment by hand, who resets and who halts."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sage.hrm_core.config.model import ModelConfig, ObservationFront, Positions, TokenFront
from sage.hrm_core.model.hrm import HRM, ACTState, TokenBatch
from sage.hrm_core.model.layers import rope_table
from sage.hrm_core.model.losses import act_loss
from sage.hrm_core.model.sequence import SequenceReasoner

SMALL = TokenFront(vocab_size=7, seq_len=5, num_puzzle_ids=3, puzzle_emb_ndim=20, puzzle_tokens=2)


def build(front: TokenFront = SMALL, **changes: object) -> HRM:
    settings = {"hidden_size": 16, "mlp_multiple": 16, **changes}
    return HRM(
        ModelConfig.preset("loop", front=front, **settings), generator=torch.Generator().manual_seed(2)
    )


def draw_batch(seed: int = 0, num_rows: int = 4) -> TokenBatch:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(0, 7, (2, num_rows, 5), generator=generator)
    return TokenBatch(
        inputs=cells[0], labels=cells[1], puzzle_ids=torch.randint(0, 3, (num_rows,), generator=generator)
    )


def puzzle(vocab_size: int, seq_len: int, puzzle_tokens: int, positions: Positions = "rope") -> TokenFront:
    return TokenFront(
        vocab_size=vocab_size,
        seq_len=seq_len,
        num_puzzle_ids=1,
        puzzle_emb_ndim=512,
        puzzle_tokens=puzzle_tokens,
        positions=positions,
    )


@pytest.mark.parametrize(
    ("preset", "front", "expected"),
    [
        ("hrm-27m", puzzle(11, 81, 1), 27_275_266),
        ("hrm-27m", puzzle(6, 900, 1), 27_270_146),
        ("hrm-27m", puzzle(12, 900, 1), 27_276_290),
        ("hrm-27m", puzzle(11, 81, 1, "learned"), 27_317_250),
        ("trm-7m", puzzle(11, 81, 16), 6_828_034),
        ("trm-7m", puzzle(6, 900, 16), 6_822_914),
        ("trm-7m", puzzle(12, 900, 16), 6_829_058),
        ("trm-mlp-5m", puzzle(11, 81, 16, "none"), 5_028_866),
        ("trm-mlp-5m", puzzle(6, 900, 16, "none"), 18_795_522),
    ],
)
def test_parameters_match_the_published_models_to_the_unit(
    preset: str, front: TokenFront, expected: int
) -> None:
    model = SequenceReasoner(ModelConfig.preset(preset, front=front))
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_the_presets_are_sudoku() -> None:
    for name, num_tokens in (("hrm-27m", 82), ("trm-7m", 97), ("trm-mlp-5m", 97)):
        assert ModelConfig.preset(name).front.num_tokens == num_tokens


def test_names_and_shapes_are_those_of_the_published_hrm_files() -> None:
    inner = SequenceReasoner(ModelConfig.preset("hrm-27m", front=puzzle(11, 81, 1, "learned")))
    found = {f"inner.{name}": tuple(tensor.shape) for name, tensor in inner.state_dict().items()}
    expected: dict[str, tuple[int, ...]] = {
        "inner.H_init": (512,), "inner.L_init": (512,),
        "inner.embed_tokens.embedding_weight": (11, 512), "inner.lm_head.weight": (11, 512),
        "inner.q_head.weight": (2, 512), "inner.q_head.bias": (2,),
        "inner.puzzle_emb.weights": (1, 512), "inner.embed_pos.embedding_weight": (82, 512),
    }  # fmt: skip
    for net in ("H", "L"):
        for layer in range(4):
            start = f"inner.{net}_level.layers.{layer}"
            expected |= {
                f"{start}.self_attn.qkv_proj.weight": (1536, 512),
                f"{start}.self_attn.o_proj.weight": (512, 512),
            }
            expected |= {
                f"{start}.mlp.gate_up_proj.weight": (3072, 512),
                f"{start}.mlp.down_proj.weight": (512, 1536),
            }
    assert found == expected


def test_names_and_shapes_are_those_of_the_published_trm_mlp_files() -> None:
    inner = SequenceReasoner(ModelConfig.preset("trm-mlp-5m"))
    nets = {name: tuple(tensor.shape) for name, tensor in inner.state_dict().items() if "_level" in name}
    expected = {}
    for layer in range(2):
        start = f"L_level.layers.{layer}"
        expected |= {
            f"{start}.mlp_t.gate_up_proj.weight": (1024, 97),
            f"{start}.mlp_t.down_proj.weight": (97, 512),
        }
        expected |= {
            f"{start}.mlp.gate_up_proj.weight": (3072, 512),
            f"{start}.mlp.down_proj.weight": (512, 1536),
        }
    assert nets == expected


@torch.no_grad()
def plain_net(weights: dict[str, Tensor], name: str, h: Tensor, rope: Tensor, num_heads: int) -> Tensor:
    """One layer, from the state dict alone; h (B, S, D)."""

    def rms(x: Tensor) -> Tensor:
        return x / ((x**2).mean(-1, keepdim=True) + 1e-5).sqrt()

    def turn(x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        return x * rope[0] + torch.cat((-x[..., half:], x[..., :half]), -1) * rope[1]

    size = h.shape[-1]
    q, k, v = (h @ weights[f"{name}.layers.0.self_attn.qkv_proj.weight"].T).split(size, -1)
    mixed = []
    for head in range(num_heads):
        part = slice(head * size // num_heads, (head + 1) * size // num_heads)
        scores = turn(q[..., part]) @ turn(k[..., part]).transpose(1, 2) / math.sqrt(size / num_heads)
        mixed.append(scores.softmax(-1) @ v[..., part])
    h = rms(h + torch.cat(mixed, -1) @ weights[f"{name}.layers.0.self_attn.o_proj.weight"].T)
    gate, up = (h @ weights[f"{name}.layers.0.mlp.gate_up_proj.weight"].T).chunk(2, -1)
    return rms(h + (F.silu(gate) * up) @ weights[f"{name}.layers.0.mlp.down_proj.weight"].T)


def test_one_segment_is_the_papers_from_embedding_to_heads() -> None:
    model, batch = build(), draw_batch()
    with torch.no_grad():
        model.inner.puzzle_emb.weights.normal_(generator=torch.Generator().manual_seed(9))
        model.inner.q_head.weight.normal_(generator=torch.Generator().manual_seed(8))
    w = {name.removeprefix("inner."): tensor for name, tensor in model.state_dict().items()}
    rows = torch.zeros(4, 32)  # two puzzle tokens of 16, the row of 20 zero-padded
    rows[:, :20] = w["puzzle_emb.weights"][batch.puzzle_ids]
    x = 4.0 * torch.cat((rows.view(4, 2, 16), w["embed_tokens.embedding_weight"][batch.inputs]), 1)
    rope = rope_table(7, 8, 10000.0)
    z_H, z_L = w["H_init"].expand(4, 7, 16), w["L_init"].expand(4, 7, 16)
    for _ in range(2):
        for _ in range(2):
            z_L = plain_net(w, "L_level", z_L + z_H + x, rope, 2)
        z_H = plain_net(w, "H_level", z_H + z_L, rope, 2)
    carry, output = model.segment(model.initial_carry(4), batch)
    torch.testing.assert_close(carry.z_H, z_H, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.logits, z_H[:, 2:] @ w["lm_head.weight"].T, atol=1e-5, rtol=1e-5)
    q = z_H[:, 0] @ w["q_head.weight"].T + w["q_head.bias"]
    torch.testing.assert_close(torch.stack((output.q_halt, output.q_continue), 1), q, atol=1e-5, rtol=1e-5)


def test_learned_positions_share_the_variance() -> None:
    model, batch = build(TokenFront(vocab_size=7, seq_len=5, positions="learned")), draw_batch()
    w = model.state_dict()
    expected = (
        4.0
        * math.sqrt(0.5)
        * (w["inner.embed_tokens.embedding_weight"][batch.inputs] + w["inner.embed_pos.embedding_weight"])
    )
    torch.testing.assert_close(model.inner.embed(batch), expected)


def test_halted_rows_restart_on_the_new_batch_and_the_others_ignore_it() -> None:
    model, old, new = build().eval(), draw_batch(1), draw_batch(2)
    state, _ = model(model.initial_state(old), old)
    halted = torch.tensor([True, False, True, False])
    mixed = ACTState(carry=state.carry, batch=state.batch, num_segments=state.num_segments, is_halted=halted)
    after, _ = model(mixed, new)
    fresh, _ = model(model.initial_state(new), new)
    onward, _ = model(state, new)
    assert after.num_segments.tolist() == [1, 2, 1, 2]
    for row in range(4):
        source, batch = (fresh, new) if halted[row] else (onward, old)
        torch.testing.assert_close(after.carry.z_H[row], source.carry.z_H[row])
        assert torch.equal(after.batch.inputs[row], batch.inputs[row])
        assert after.batch.puzzle_ids[row] == batch.puzzle_ids[row]


def test_a_fresh_state_takes_every_row() -> None:
    model, batch = build().eval(), draw_batch()
    state = model.initial_state(batch)
    assert state.is_halted.all()
    state, _ = model(state, draw_batch(7))
    assert torch.equal(state.batch.inputs, draw_batch(7).inputs)


def test_evaluation_runs_to_the_limit_unless_told_to_halt() -> None:
    model, batch = build(halt_max_segments=3).eval(), draw_batch()
    with torch.no_grad():
        model.inner.q_head.bias.copy_(torch.tensor([5.0, -5.0]))
    state, counts = model.initial_state(batch), []
    for _ in range(3):
        state, _ = model(state, batch)
        counts.append(bool(state.is_halted.all()))
    assert counts == [False, False, True]
    state, _ = model(model.initial_state(batch), batch, halts_early=True)
    assert state.is_halted.all()


@pytest.mark.parametrize(("has_q_continue", "expected"), [(True, False), (False, True)])
def test_hrm_compares_halt_with_continue_and_trm_with_zero(has_q_continue: bool, expected: bool) -> None:
    model, batch = build(has_q_continue=has_q_continue).eval(), draw_batch()
    with torch.no_grad():
        model.inner.q_head.bias.copy_(torch.tensor([1.0, 2.0]))
    state, _ = model(model.initial_state(batch), batch, halts_early=True)
    assert bool(state.is_halted.all()) is expected


def test_exploration_keeps_a_row_at_least_two_segments_and_never_past_the_limit() -> None:
    model, batch = build(halt_exploration=1.0, halt_max_segments=4).train(), draw_batch(num_rows=256)
    with torch.no_grad():
        model.inner.q_head.bias.copy_(torch.tensor([5.0, -5.0]))
    generator = torch.Generator().manual_seed(0)
    state, lengths = model.initial_state(batch), torch.zeros(256, dtype=torch.int64)
    for _ in range(4):
        state, _ = model(state, batch, generator=generator)
        lengths = torch.where((lengths == 0) & state.is_halted, state.num_segments.long(), lengths)
    assert lengths.min() == 2
    assert lengths.max() <= 4
    assert (lengths > 0).all()


def test_training_without_a_generator_is_refused_while_exploration_is_on() -> None:
    model, batch = build().train(), draw_batch()
    with pytest.raises(ValueError, match="generator"):
        model(model.initial_state(batch), batch)


def test_the_q_continue_target_looks_one_segment_ahead() -> None:
    model, batch = build(has_q_continue=True, halt_max_segments=2).eval(), draw_batch()
    with torch.no_grad():
        model.inner.q_head.weight.normal_(generator=torch.Generator().manual_seed(8))
    first, _ = model(model.initial_state(batch), batch)
    second, ahead = model(first, batch)
    torch.testing.assert_close(
        model.next_q_continue(first), torch.maximum(ahead.q_halt, ahead.q_continue).sigmoid()
    )
    _, last = model.segment(second.carry, second.batch)
    torch.testing.assert_close(model.next_q_continue(second), last.q_halt.sigmoid())


def test_an_unknown_puzzle_reads_the_mean_row() -> None:
    model = build()
    with torch.no_grad():
        model.inner.puzzle_emb.weights.normal_(generator=torch.Generator().manual_seed(9))
    model.eval()
    rows = model.inner.puzzle_emb(torch.tensor([0, -1]))
    torch.testing.assert_close(rows[0], model.inner.puzzle_emb.weights[0])
    torch.testing.assert_close(rows[1], model.inner.puzzle_emb.weights.mean(0))


def test_without_tokens_a_puzzles_row_is_added_to_every_cell() -> None:
    front = TokenFront(vocab_size=7, seq_len=9, num_puzzle_ids=3, puzzle_emb_ndim=5, positions="none")
    model = HRM(ModelConfig.preset("tiny", front=front, mixer="grid"))
    batch = TokenBatch(
        inputs=torch.arange(18).view(2, 9) % 7,
        labels=torch.zeros(2, 9, dtype=torch.long),
        puzzle_ids=torch.tensor([0, 2]),
    )
    plain = model.inner.embed(batch)
    rows = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    model.inner.puzzle_emb.weights.copy_(rows)
    added = (model.inner.embed(batch) - plain) / math.sqrt(32)
    assert added.shape == (2, 9, 32)
    for row, number in ((0, 0), (1, 2)):
        torch.testing.assert_close(added[row, :, :5], rows[number].expand(9, 5), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(added[..., 5:], torch.zeros(2, 9, 27))


def test_puzzle_rows_learn_by_a_sparse_gradient_of_their_own() -> None:
    model, batch = build(gradient="full"), draw_batch()
    weights = model.inner.puzzle_emb.weights.requires_grad_()
    _, output = model.segment(model.initial_carry(4), batch)
    act_loss(output, batch.labels).total.backward()
    assert weights.grad is not None
    assert weights.grad.is_sparse
    assert set(weights.grad.coalesce().indices()[0].tolist()) == set(batch.puzzle_ids.tolist())
    assert not any(parameter is weights for parameter in model.parameters())


def test_the_carry_brings_no_graph_into_the_next_segment() -> None:
    model, batch = build(), draw_batch()
    carry, output = model.segment(model.initial_carry(4), batch)
    assert not carry.z_H.requires_grad
    assert output.logits.requires_grad


def test_equal_seeds_build_equal_models_and_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, other = build(), build()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values()))


def test_a_small_puzzle_is_learned() -> None:
    """Copy shifted cells: needs attention, ACT, loss and gradients to work together."""
    model = build(TokenFront(vocab_size=7, seq_len=5), hidden_size=32, H_cycles=1, gradient="full").train()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    state, losses = None, []
    for _ in range(80):
        cells = torch.randint(0, 7, (32, 5), generator=generator)
        batch = TokenBatch(
            inputs=cells, labels=cells.roll(1, dims=1), puzzle_ids=torch.zeros(32, dtype=torch.int64)
        )
        state, output = model(state or model.initial_state(batch), batch, generator=generator)
        loss = act_loss(output, state.batch.labels)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(float(loss.cross_entropy.detach()))
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_a_sensor_front_is_refused_with_the_right_class_named() -> None:
    with pytest.raises(TypeError, match="ObservationModel"):
        HRM(ModelConfig.preset("loop", front=ObservationFront(source_dims=(1,))))
