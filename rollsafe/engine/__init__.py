"""The hands: observe, decide, intent, act, observe, outcome. It knows ports, and no product."""
