// Sums over the rows of a matrix (rows, channels), in two passes and a fixed order: parts of it first, then the parts.

// Each block adds up one stretch of rows for LANES channels: parts (gridDim.y, channels).
extern "C" __global__ void column_sums(const REAL* x, REAL* parts, int64 rows, int channels) {
    __shared__ REAL scratch[ROWS][LANES];
    const int lane = threadIdx.x % LANES, line = threadIdx.x / LANES, c = blockIdx.x * LANES + lane;
    int64 first, end;
    rows_of_part(blockIdx.y, gridDim.y, rows, &first, &end);
    REAL sum = 0;
    if (c < channels)
        for (int64 row = first + line; row < end; row += ROWS) sum += x[row * channels + c];
    scratch[line][lane] = sum;
    __syncthreads();
    if (line || c >= channels) return;
    for (int other = 1; other < ROWS; ++other) sum += scratch[other][lane];
    parts[(int64)blockIdx.y * channels + c] = sum;
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

// y (images, channels) = factor * the sum over the rows of each image. Grid: (images, groups of 32 channels), in blocks of
// 32 x lines threads.
extern "C" __global__ void image_sums(const REAL* x, int rows, int channels, REAL factor, REAL* y) {
    const int c = blockIdx.y * 32 + threadIdx.x % 32;
    const REAL* const first = x + (int64)blockIdx.x * rows * channels + c;
    const REAL sum = sum_over_lines(rows, c < channels, [&](int row) { return first[(int64)row * channels]; });
    if (threadIdx.x < 32 && c < channels) y[(int64)blockIdx.x * channels + c] = factor * sum;
}
