"""`sage config`: the effective values of a configuration, and a check."""

from __future__ import annotations

import typer

from sage.app.cli.options import ConfigArgument, JsonOption, SetOption, command_group

app = command_group("Show or check a configuration.")


@app.command("show")
def show(
    config: ConfigArgument = "default", overrides: SetOption = None, json_output: JsonOption = False
) -> None:
    """Print the effective configuration, including defaults, and its hash."""
    from sage.app.config.sage_config import config_hash, effective, load_config

    loaded = load_config(config, overrides or ())
    if json_output:
        import json

        typer.echo(json.dumps({"config": loaded.model_dump(mode="json"), "hash": config_hash(loaded)}))
        return
    typer.echo(f"# hash: {config_hash(loaded)}\n{effective(loaded)}", nl=False)


@app.command("check")
def check(
    config: ConfigArgument = "default", overrides: SetOption = None, json_output: JsonOption = False
) -> None:
    """Check keys, values, that the files and devices exist, and that measurements fit their sensors."""
    from sage.app.config.sage_config import config_hash, load_config
    from sage.app.terminal.errors import UserError

    loaded = load_config(config, overrides or (), with_files=True)
    if not (loaded.enabled_sensors or loaded.enabled_environments):
        raise UserError(f"{config}: sensors: none is enabled: enable at least one, e.g. {{kind: host}}")
    if loaded.measurements:
        from sage.app.session.measurements import check_groups

        check_groups(loaded)
    if json_output:
        import json

        counts = {
            "sensors": len(loaded.sensors),
            "enabled_sensors": len(loaded.enabled_sensors),
            "effectors": len(loaded.effectors),
            "enabled_effectors": len(loaded.enabled_effectors),
            "environments": len(loaded.environments),
            "enabled_environments": len(loaded.enabled_environments),
        }
        typer.echo(json.dumps({"config": config, **counts, "hash": config_hash(loaded)}))
        return
    sensors = f"{len(loaded.enabled_sensors)} of {len(loaded.sensors)} sensors enabled"
    parts = [sensors, f"{len(loaded.enabled_effectors)} effectors"]
    if loaded.environments:
        parts.append(f"{len(loaded.enabled_environments)} of {len(loaded.environments)} environments enabled")
    typer.echo(f"{config}: valid: {', '.join(parts)}, hash {config_hash(loaded)}")
