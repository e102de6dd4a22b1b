"""One admin API each, SSH, and what runs on the far side: every failure becomes one of our errors."""
