"""What every command prints with: errors, logs, formatted figures."""
