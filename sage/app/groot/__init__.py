"""The commands of `sage groot`: a local policy server, and checks of servers and data sets."""
