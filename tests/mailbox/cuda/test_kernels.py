"""The kernels as a GPU would get them, compiled by NVRTC without one: their acquire and release are in the
PTX.
"""

import re

import pytest

from sage.mailbox.cuda import CudaError, kernels

pytest.importorskip("cuda.bindings.nvrtc", reason="no NVRTC: pip install cuda-bindings nvidia-cuda-nvrtc")

ORDERED = {
    "ring_push": {
        "atom.acquire.gpu.cas.b64",
        "fence.acq_rel.{};",
        "st.release.{}.u64",
        "atom.acq_rel.gpu.add.u32",
    },
    "ring_push_each": {"atom.acquire.gpu.cas.b64", "fence.acq_rel.{};", "st.release.{}.u64"},
    "ring_pop": {"ld.acquire.{}.u64", "fence.acq_rel.{};", "st.release.{}.u64", "atom.acq_rel.gpu.add.u32"},
    "ring_subscribe": {"st.release.{}.u64"},
}
WIDE = {
    "ring_push": "st.relaxed.{}.v4.u32",
    "ring_push_each": "st.relaxed.{}.v4.u32",
    "ring_pop": "ld.relaxed.{}.v4.u32",
}


def _entries(ptx):
    return {part.split("(")[0]: part for part in ptx.decode().split(".visible .entry ")[1:]}


@pytest.fixture(scope="module", params=["gpu", "sys"])
def compiled(request):
    options = (kernels.SYSTEM_SCOPE,) if request.param == "sys" else ()
    try:
        return request.param, _entries(
            kernels.compile_source(kernels.source(), arch="compute_90", options=options)
        )
    except (RuntimeError, OSError) as error:
        pytest.skip(f"NVRTC does not load: {error}")


def test_every_kernel_is_there(compiled):
    assert set(compiled[1]) == set(kernels.KERNELS)


@pytest.mark.parametrize("kernel", kernels.KERNELS)
def test_a_kernel_has_its_acquires_and_releases_at_its_scope(compiled, kernel):
    scope, entries = compiled
    for instruction in ORDERED[kernel]:
        assert instruction.format(scope) in entries[kernel], instruction
    other = {"gpu": "sys", "sys": "gpu"}[scope]
    assert not re.search(rf"\b(ld|st|fence)\.(acquire|release|acq_rel|relaxed)\.{other}\b", entries[kernel])
    assert not re.search(
        r"\b(atom|red)\.(acquire|release|acq_rel|relaxed)\.sys\b", entries[kernel]
    )  # not allowed over PCIe


@pytest.mark.parametrize("kernel", sorted(WIDE))
def test_records_move_16_bytes_a_lane(compiled, kernel):
    scope, entries = compiled
    assert WIDE[kernel].format(scope) in entries[kernel]


@pytest.mark.parametrize("arch", ["sm_87", "sm_90"])
def test_the_machine_code_of_an_orin_and_of_an_h100_is_made(arch):
    assert kernels.compile_source(kernels.source(), arch=arch).startswith(b"\x7fELF")


def test_a_users_kernel_can_push(compiled):
    mine = """
    extern "C" __global__ void mine(Ring* ring, const float* values) {
        Group g = group_of(ring);
        uint4 word = make_uint4(0, 0, g.lane == 1 ? 4 : 0, 0);
        if (g.lane == 4) word.x = __float_as_uint(values[g.index]);
        ring_push_record(ring, g, word);
    }"""
    entries = _entries(kernels.compile_source(kernels.source() + mine, arch="compute_90"))
    assert "st.release.gpu.u64" in entries["mine"]


def test_a_compile_error_comes_with_the_compilers_words():
    with pytest.raises(CudaError, match="no_such_type"):
        kernels.compile_source("no_such_type x;", arch="compute_90")
