// What convolutions need beside their products, which are in products.cu.

// (taps, C, G, F) to (G, taps, F, C): the kernel as the gradient of the input needs it; F and C of one group.
extern "C" __global__ void transpose_kernel(const REAL* kernel, REAL* out, int taps, int channels, int groups,
                                            int filters) {
    const int64 size = (int64)taps * channels * groups * filters;
    for (int64 i = first_element(); i < size; i += all_threads()) {
        const int64 c = i % channels, f = i / channels % filters, t = i / channels / filters % taps;
        const int64 g = i / channels / filters / taps;
        out[i] = kernel[((t * channels + c) * groups + g) * filters + f];
    }
}

// out = dy where y > 0 or NaN, else 0: the gradient behind a fused ReLU.
extern "C" __global__ void relu_gradient(const REAL* dy, const REAL* y, REAL* out, int64 size) {
    for (int64 i = first_element(); i < size; i += all_threads()) out[i] = y[i] <= 0 ? REAL(0) : dy[i];
}
