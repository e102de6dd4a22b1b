"""A simulated cluster in virtual time: the same ports as the real one, with faults and crashes on demand."""
