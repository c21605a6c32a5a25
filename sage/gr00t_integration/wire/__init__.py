"""The bytes between a robot and a policy server: arrays, frames and the dialects of their content."""
