"""What kernels are made of: vector code, memory, tables of offsets, the matrix product, batches. It knows no kernel."""
