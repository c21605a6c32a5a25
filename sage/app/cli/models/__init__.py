"""Commands for models: tasks, data, training, evaluation, solving, the hub."""
