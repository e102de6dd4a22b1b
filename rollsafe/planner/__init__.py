"""The brain: pure functions from what was planned, what happened and what is seen to the one next step."""
