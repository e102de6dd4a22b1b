"""What rollsafe speaks of: frozen, slotted values of the standard library. No I/O, no clock, no logging."""
