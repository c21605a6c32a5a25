"""The append-only log of what effectors were asked, allowed and did."""
