"""The live page of a running session: its server, its routes and the feed of reports behind them."""
