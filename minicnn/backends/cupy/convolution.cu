// What convolutions need beside their products, which are in products.cu.

// out = dy where y > 0 or NaN, else 0: the gradient behind a fused ReLU.
extern "C" __global__ void relu_gradient(const REAL* dy, const REAL* y, REAL* out, int64 size) {
    for (int64 i = first_element(); i < size; i += all_threads()) out[i] = y[i] <= 0 ? REAL(0) : dy[i];
}
