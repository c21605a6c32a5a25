"""Model configuration: sizes, input front ends, presets."""
