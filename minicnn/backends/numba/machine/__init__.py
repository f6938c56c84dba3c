"""What kernels are made of; nothing here knows one."""
