// Sums over the rows of a matrix (rows, channels), in two passes and a fixed order: parts of it first, then the parts.

extern "C" __global__ void column_sums(const REAL* x, REAL* parts, int64 rows, int channels) {
    sum_columns(parts, rows, channels, [&](int64 i, int c) { return x[i]; });
}

// y = sum of `count` parts of `size` elements, `stride` apart, + bias, then ReLU; channel = element % channels. Blocks of
// 32 x lines threads.
extern "C" __global__ void add_parts(const REAL* parts, int count, int64 stride, int64 size, const REAL* bias,
                                     int channels, int relu, REAL* y) {
    for (int64 first = (int64)blockIdx.x * 32; first < size; first += (int64)gridDim.x * 32) {
        const int64 i = first + threadIdx.x % 32;
        REAL sum = sum_of_parts(parts, count, stride, i, i < size);
        if (threadIdx.x >= 32 || i >= size) continue;
        if (bias) sum += bias[i % channels];
        y[i] = relu && sum < 0 ? REAL(0) : sum;
    }
}
