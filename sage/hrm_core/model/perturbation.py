"""Random numbers that training adds to the recurrent state, so that solutions become attractors (EqR, arXiv
2605.21488, section 4).

Invariant: all numbers come from one generator on the state's device, in the order of the calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """start_std: of the normal numbers that a row starts from in place of H_init and L_init; 0: from those.

    noise_std: of the normal numbers added to z_L or z_H after each call of a net; 0: none.
    generator: on the device of the state.
    """

    start_std: float
    noise_std: float
    generator: torch.Generator

    def start(self, z_BSD: Tensor) -> Tensor:
        """A start for every row, of the shape, dtype and device of z."""
        return self.start_std * self._normal(z_BSD)

    def with_noise(self, z_BSD: Tensor) -> Tensor:
        return z_BSD + self.noise_std * self._normal(z_BSD) if self.noise_std else z_BSD

    def _normal(self, z_BSD: Tensor) -> Tensor:
        return torch.randn(z_BSD.shape, generator=self.generator, dtype=z_BSD.dtype, device=z_BSD.device)
