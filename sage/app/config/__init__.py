"""The configuration of a run: schema, YAML files, overrides, plug-in registry, state directory."""
