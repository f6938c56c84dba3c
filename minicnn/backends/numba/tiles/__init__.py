"""Products on the tile registers of today's processors (Intel AMX), in bfloat16: what Numba does not know of them."""
