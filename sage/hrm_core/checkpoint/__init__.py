"""Model files: read and written as (configuration, tensors), without building a model."""
