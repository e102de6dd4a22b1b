"""The lab behaves like what it stands for."""
