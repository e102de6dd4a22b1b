"""The demo's cluster: real sockets on loopback, real SSH, a real admin protocol.

It knows nothing of rollsafe but its errors, and speaks the wire with code of its own, so that a driver's mistake is
never mirrored by a shared class.
"""
