"""Kernels are tried by computing: on the processor all work, a wrong result and an error are findings."""

from __future__ import annotations

import pytest
import torch

from sage.app.devices import gpu_kernels
from sage.app.devices.gpu_kernels import TOLERANCES, examine_kernels


def test_every_kernel_works_on_the_processor() -> None:
    findings = {each.topic: each for each in examine_kernels(torch.device("cpu"))}
    assert len(findings) == 2 * len(TOLERANCES) + 2
    kernels = [each for topic, each in findings.items() if topic.startswith("kernel: ")]
    assert [each.found for each in kernels] == ["works"] * (2 * len(TOLERANCES) + 1)
    assert findings["memory of the device"].found == "the processor's own"


def test_a_device_that_computes_wrong_or_not_at_all_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_kernel(*_: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: no kernel image is available\nfor execution on the device")

    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", no_kernel)
    product = torch.Tensor.__matmul__

    def rounded(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return product(left, right) + (10 if left.dtype == torch.float16 else 0)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    found = {each.topic: each for each in gpu_kernels.examine_kernels(torch.device("cpu"))}
    assert found["kernel: attention, float32"].found == "fails"
    assert found["kernel: attention, float32"].why == "CUDA error: no kernel image is available"
    assert found["kernel: matrix product, float16"].found == "wrong"
    assert "off by 10" in found["kernel: matrix product, float16"].why
    assert found["kernel: matrix product, float32"].found == "works"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_kernel_works_on_a_gpu() -> None:
    findings = examine_kernels(torch.device("cuda"))
    assert not [each for each in findings if each.found in ("fails", "wrong")]
