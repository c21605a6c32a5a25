"""Published files: names, sizes, and the numbers they give, against the formulas in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from sage.errors import InputError
from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.checkpoint.official import read_official, strip_prefixes, without_puzzles
from sage.hrm_core.checkpoint.source import save_official
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch

State = dict[str, torch.Tensor]


def inner_size(size: int) -> int:
    """As published: expansion 4 * 2/3, rounded up to 256."""
    return -(-round(4 * size * 2 / 3) // 256) * 256


def published(
    *,
    size: int = 128,
    vocab: int = 11,
    num_cells: int = 81,
    num_ids: int = 3,
    num_layers: int = 2,
    is_trm: bool = False,
    mixes: bool = False,
    has_positions: bool = False,
    prefix: str = "_orig_mod.model.",
    seed: int = 0,
) -> State:
    """A state dict with the names and shapes of HRM.md's table."""
    generator, state = torch.Generator().manual_seed(seed), {}
    num_tokens = num_cells + (16 if is_trm else 1)

    def weight(name: str, *shape: int) -> None:
        state[f"{prefix}inner.{name}"] = torch.randn(*shape, generator=generator) * shape[-1] ** -0.5

    for net in ("L",) if is_trm else ("H", "L"):
        for layer in range(num_layers):
            start = f"{net}_level.layers.{layer}."
            if mixes:
                weight(f"{start}mlp_t.gate_up_proj.weight", 2 * inner_size(num_tokens), num_tokens)
                weight(f"{start}mlp_t.down_proj.weight", num_tokens, inner_size(num_tokens))
            else:
                weight(f"{start}self_attn.qkv_proj.weight", 3 * size, size)
                weight(f"{start}self_attn.o_proj.weight", size, size)
            weight(f"{start}mlp.gate_up_proj.weight", 2 * inner_size(size), size)
            weight(f"{start}mlp.down_proj.weight", size, inner_size(size))
    weight("embed_tokens.embedding_weight", vocab, size)
    weight("lm_head.weight", vocab, size)
    weight("q_head.weight", 2, size)
    weight("q_head.bias", 2)
    weight("puzzle_emb.weights", num_ids, size)
    if has_positions:
        weight("embed_pos.embedding_weight", num_tokens, size)
    for start in ("H_init", "L_init"):
        state[f"{prefix}inner.{start}"] = torch.randn(size, generator=generator).bfloat16()
    return state


def write(folder: Path, state: State, **arch: object) -> Path:
    """A folder as it is published."""
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "checkpoint")
    published_arch = {"expansion": 4, "num_heads": 2, "H_cycles": 2, "L_cycles": 2, "pos_encodings": "rope"}
    settings = {
        "arch": {**published_arch, "puzzle_emb_len": 16, **arch},
        "data_path": "data/sudoku",
        "lr": "7e-5",
    }
    (folder / "all_config.yaml").write_text(yaml.safe_dump(settings))
    return folder / "checkpoint"


class Plain:
    """The equations alone, in fp64 numpy, from a published state dict. heads of 64."""

    def __init__(self, state: State, theta: float = 10000.0) -> None:
        self.w = {name.split("inner.")[1]: tensor.double().numpy() for name, tensor in state.items()}
        self.theta = theta

    def rms(self, x: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(x / np.sqrt((x * x).mean(axis, keepdims=True) + 1e-5))

    def turn(self, x: np.ndarray) -> np.ndarray:
        """RoPE: component i and i + E/2 are one complex number, turned by position * theta^(-2i/E)."""
        half = x.shape[-1] // 2
        angle = np.arange(x.shape[-2])[:, None] * self.theta ** (-np.arange(half) / half)
        z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angle)
        return np.concatenate((z.real, z.imag), -1)

    def attention(self, x: np.ndarray, start: str, *, has_rope: bool) -> np.ndarray:
        size = x.shape[-1]
        q, k, v = np.split(x @ self.w[f"{start}qkv_proj.weight"].T, 3, -1)
        heads = []
        for first in range(0, size, 64):
            part = slice(first, first + 64)
            one, other = (self.turn(y[..., part]) if has_rope else y[..., part] for y in (q, k))
            scores = np.exp(one @ other.transpose(0, 2, 1) / 8.0)
            heads.append(scores / scores.sum(-1, keepdims=True) @ v[..., part])
        return np.asarray(np.concatenate(heads, -1) @ self.w[f"{start}o_proj.weight"].T)

    def swiglu(self, x: np.ndarray, start: str) -> np.ndarray:
        gate, up = np.split(x @ self.w[f"{start}gate_up_proj.weight"].T, 2, -1)
        return np.asarray((gate / (1 + np.exp(-gate)) * up) @ self.w[f"{start}down_proj.weight"].T)

    def net(self, net: str, h: np.ndarray, injection: np.ndarray, *, has_rope: bool) -> np.ndarray:
        h, layer = h + injection, 0
        while f"{net}_level.layers.{layer}.mlp.down_proj.weight" in self.w:
            start = f"{net}_level.layers.{layer}."
            if f"{start}mlp_t.down_proj.weight" in self.w:
                mixed = self.swiglu(h.transpose(0, 2, 1), f"{start}mlp_t.").transpose(0, 2, 1)
                h = self.rms(h + mixed, axis=1)
            else:
                h = self.rms(h + self.attention(h, f"{start}self_attn.", has_rope=has_rope))
            h = self.rms(h + self.swiglu(h, f"{start}mlp."))
            layer += 1
        return h

    def embed(self, inputs: np.ndarray, ids: np.ndarray, puzzle_tokens: int) -> np.ndarray:
        size = self.w["H_init"].shape[0]
        rows = np.zeros((len(ids), puzzle_tokens * size))
        rows[:, : self.w["puzzle_emb.weights"].shape[1]] = self.w["puzzle_emb.weights"][ids]
        x = np.concatenate(
            (rows.reshape(len(ids), puzzle_tokens, size), self.w["embed_tokens.embedding_weight"][inputs]), 1
        )
        if "embed_pos.embedding_weight" in self.w:
            x = 0.5**0.5 * (x + self.w["embed_pos.embedding_weight"])
        return np.asarray(x * size**0.5)


def draw_batch(vocab: int, num_cells: int, num_ids: int) -> TokenBatch:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randint(0, vocab, (2, num_cells), generator=generator)
    return TokenBatch(
        inputs=inputs, labels=inputs, puzzle_ids=torch.randint(0, num_ids, (2,), generator=generator)
    )


def close(found: torch.Tensor, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(found.detach().double().numpy(), expected, atol=tolerance, rtol=tolerance)


TRM_ARCH = {"num_heads": 8, "H_cycles": 3, "L_cycles": 6}
FAMILY = [
    pytest.param({}, {"pos_encodings": "rope"}, id="hrm"),
    pytest.param({"has_positions": True}, {"pos_encodings": "learned"}, id="hrm-learned-positions"),
    pytest.param({"is_trm": True}, {"pos_encodings": "rope"}, id="trm"),
    pytest.param({"is_trm": True, "mixes": True}, {"pos_encodings": "none", "mlp_t": True}, id="trm-mlp"),
]


@pytest.mark.parametrize(("form", "arch"), FAMILY)
def test_a_segment_of_a_published_file_is_the_formulas(
    form: dict[str, bool], arch: dict[str, object], tmp_path: Path
) -> None:
    """One call of each net, one segment of one cycle, both heads."""
    state = published(**form)  # type: ignore[arg-type]
    path = write(tmp_path, state, H_cycles=1, L_cycles=1, **arch)
    model, plain, batch = HRM.from_saved(read_official(path)), Plain(state), draw_batch(11, 81, 3)
    front = model.config.front
    assert isinstance(front, TokenFront)
    has_rope = front.positions == "rope"
    x = plain.embed(batch.inputs.numpy(), batch.puzzle_ids.numpy(), front.puzzle_tokens)
    close(model.inner.embed(batch), x, 1e-5)
    shape = (2, front.num_tokens, 128)
    z_H, z_L = (np.broadcast_to(plain.w[start], shape) for start in ("H_init", "L_init"))
    z_L = plain.net("L", z_L, z_H + x, has_rope=has_rope)
    z_H = plain.net("L" if model.config.shares_nets else "H", z_H, z_L, has_rope=has_rope)
    carry, output = model.segment(model.initial_carry(2), batch)
    assert output.logits is not None
    assert output.q_halt is not None
    assert output.q_continue is not None
    close(carry.z_L, z_L)
    close(carry.z_H, z_H)
    close(output.logits, z_H[:, front.puzzle_tokens :] @ plain.w["lm_head.weight"].T)
    q = z_H[:, 0] @ plain.w["q_head.weight"].T + plain.w["q_head.bias"]
    close(torch.stack((output.q_halt, output.q_continue), 1), q)


def test_the_real_27_m_file_gives_its_numbers(tmp_path: Path) -> None:
    state = published(size=512, num_ids=1, num_layers=4)
    path = write(tmp_path, state, H_cycles=2, L_cycles=2, num_heads=8, pos_encodings="rope")
    model, plain = HRM.from_saved(read_official(path)), Plain(state)
    assert model.config == ModelConfig.preset("hrm-27m")
    assert sum(parameter.numel() for parameter in model.parameters()) == 27_275_266
    h, injection = torch.randn(2, 1, 82, 512, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for name, net in (("H", model.inner.H_level), ("L", model.inner.L_level)):
            expected = plain.net(name, h.double().numpy(), injection.double().numpy(), has_rope=True)
            close(net(h, injection, model.inner.rope), expected, 2e-4)


@pytest.mark.parametrize(
    ("form", "arch", "preset"),
    [
        ({"num_layers": 4, "num_ids": 1}, {"num_heads": 8}, "hrm-27m"),
        ({"is_trm": True, "num_ids": 1}, {**TRM_ARCH, "H_layers": 0}, "trm-7m"),
        ({"is_trm": True, "mixes": True, "num_ids": 1}, {**TRM_ARCH, "no_ACT_continue": True}, "trm-mlp-5m"),
    ],
)
def test_sizes_are_read_from_the_tensors(
    form: dict[str, bool], arch: dict[str, object], preset: str, tmp_path: Path
) -> None:
    path = write(tmp_path, published(size=512, **form), **arch)  # type: ignore[arg-type]
    assert read_official(path).config == ModelConfig.preset(preset)


@pytest.mark.parametrize(
    ("vocab", "data", "expected"), [(6, "data/maze-30x30-hard-1k", 900), (12, "data/arc-2-aug-1000", 900)]
)
def test_the_length_is_the_tasks(
    vocab: int, data: str, expected: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, published(size=512, num_layers=4, vocab=vocab, num_cells=1))
    settings = yaml.safe_load((tmp_path / "all_config.yaml").read_text())
    (tmp_path / "all_config.yaml").write_text(yaml.safe_dump({**settings, "data_path": data}))
    assert read_official(path).config.front.num_tokens == expected + 1
    assert not caplog.records
    (tmp_path / "all_config.yaml").unlink()
    assert read_official(path).config.front.num_tokens == expected + 1
    assert f"seq_len {expected}" in caplog.text


def test_a_length_that_is_not_recorded_raises(tmp_path: Path) -> None:
    path = write(tmp_path, published(vocab=9, num_cells=1))
    settings = yaml.safe_load((tmp_path / "all_config.yaml").read_text())
    (tmp_path / "all_config.yaml").write_text(yaml.safe_dump({**settings, "data_path": "data/own"}))
    with pytest.raises(CheckpointError, match="seq_len"):
        read_official(path)
    assert read_official(path, seq_len=16).config.front.num_tokens == 17


def test_settings_that_no_file_records_raise_for_an_unpublished_size(tmp_path: Path) -> None:
    path = write(tmp_path, published(size=128))
    (tmp_path / "all_config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"num_heads.*: put the model's all_config\.yaml beside it"):
        read_official(path)


def test_a_published_size_without_its_yaml_logs_what_is_assumed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, published(size=512, num_layers=4, num_ids=1))
    (tmp_path / "all_config.yaml").unlink()
    assert read_official(path).config == ModelConfig.preset("hrm-27m")
    for assumed in ("H_cycles 2", "L_cycles 2", "num_heads 8", "pos_encodings rope", "seq_len 81"):
        assert assumed in caplog.text


def test_safetensors_give_the_tensors_of_the_torch_file(tmp_path: Path) -> None:
    path = write(tmp_path, published())
    expected = HRM.from_pretrained(tmp_path)
    safetensors.torch.save_file(torch.load(path), tmp_path / "model.safetensors")
    path.unlink()
    found = HRM.from_pretrained(tmp_path)
    assert found.config == expected.config
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


@pytest.mark.parametrize("variant", ["trm_singlez", "trm_hier6", "transformers_baseline"])
def test_a_variant_of_trm_is_refused_by_its_name(variant: str, tmp_path: Path) -> None:
    path = write(tmp_path, published(is_trm=True), name=f"recursive_reasoning.{variant}@Model_ACTV1")
    with pytest.raises(CheckpointError, match=f"a {variant} model"):
        read_official(path)


def variant_of_trm(name: str) -> State:
    """TRM's tensors with the states of another variant."""
    state = published(is_trm=True, prefix="")
    if name == "trm_singlez":
        del state["inner.H_init"]
    elif name == "trm_hier6":
        del state["inner.L_init"]
        state |= {f"inner.L_init{number}": state["inner.H_init"] for number in range(1, 7)}
    else:
        moved = {key.replace("inner.L_level.", "inner."): tensor for key, tensor in state.items()}
        state = {key: tensor for key, tensor in moved.items() if not key.endswith("_init")}
    return state


@pytest.mark.parametrize("variant", ["trm_singlez", "trm_hier6", "transformers_baseline"])
def test_a_variant_without_its_yaml_is_refused_by_its_name_too(variant: str, tmp_path: Path) -> None:
    torch.save(variant_of_trm(variant), tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match=f"a {variant} model"):
        read_official(tmp_path / "checkpoint")


@pytest.mark.parametrize(
    "prefix", ["", "model.", "_orig_mod.model.", "_orig_mod._orig_mod.model.", "module._orig_mod.model."]
)
def test_prefixes_come_off_however_often(prefix: str) -> None:
    assert set(strip_prefixes(published(prefix=prefix))) == set(published(prefix=""))


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "model_state_dict"])
def test_a_trainers_wrapping_is_opened(wrapper: str, tmp_path: Path) -> None:
    torch.save({wrapper: published(), "step": 3}, write(tmp_path, published()))
    assert read_official(tmp_path / "checkpoint").config.front.num_tokens == 82


def test_an_unknown_puzzle_of_a_published_file_reads_the_mean_row(tmp_path: Path) -> None:
    state = published()
    path = write(tmp_path, state)
    model = HRM.from_saved(read_official(path)).eval()
    mean = state["_orig_mod.model.inner.puzzle_emb.weights"].mean(0)
    torch.testing.assert_close(model.inner.puzzle_emb(torch.tensor([-1]))[0], mean)


def test_the_table_of_puzzles_can_be_left_behind(tmp_path: Path) -> None:
    state = published(num_ids=40)
    path = write(tmp_path, state)
    model = HRM.from_saved(without_puzzles(read_official(path))).eval()
    assert model.inner.puzzle_emb.weights.shape == (1, 128)
    mean = state["_orig_mod.model.inner.puzzle_emb.weights"].mean(0)
    torch.testing.assert_close(model.inner.puzzle_emb(torch.tensor([-1, 0])), mean.expand(2, -1))


def test_the_old_form_of_torch_files_loads_too(tmp_path: Path) -> None:
    path = write(tmp_path, published())
    torch.save(published(), path, _use_new_zipfile_serialization=False)
    assert read_official(path).config.front.num_tokens == 82


@pytest.mark.parametrize(("form", "arch"), FAMILY)
def test_a_model_in_the_published_form_comes_back_equal(
    form: dict[str, bool], arch: dict[str, object], tmp_path: Path
) -> None:
    path = write(tmp_path, published(**form), **{"num_heads": 4, "L_cycles": 3, **arch})  # type: ignore[arg-type]
    model = HRM.from_saved(read_official(path))
    save_official(model, tmp_path / "written")
    loaded = HRM.from_pretrained(tmp_path / "written")
    assert loaded.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_model_that_the_public_code_lacks_is_not_written_in_its_form(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mixer lines"):
        save_official(HRM(ModelConfig.preset("sudoku")), tmp_path)
