"""Windows of consecutive ticks, the unit that is stored and replayed."""
