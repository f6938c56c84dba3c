// Batch normalization.

extern "C" __global__ void column_sums_of_squares(const REAL* x, const REAL* mean, REAL* parts, int64 rows,
                                                  int channels) {
    sum_columns(parts, rows, channels, [&](int64 i, int c) { return (x[i] - mean[c]) * (x[i] - mean[c]); });
}

// parts_dy: of dy; parts_x: of dy * normalized x.
extern "C" __global__ void norm_gradient_sums(const REAL* x, const REAL* dy, const REAL* mean, const REAL* inverse_std,
                                              REAL* parts_dy, REAL* parts_x, int64 rows, int channels) {
    sum_columns(parts_dy, rows, channels, [&](int64 i, int c) { return dy[i]; });
    sum_columns(parts_x, rows, channels, [&](int64 i, int c) { return dy[i] * ((x[i] - mean[c]) * inverse_std[c]); });
}

// The channel of this thread in the kernels below, which run in blocks of 32 x lines threads.
__device__ __forceinline__ int own_channel() { return blockIdx.x * 32 + threadIdx.x % 32; }
__device__ __forceinline__ bool writes(int c, int channels) { return threadIdx.x < 32 && c < channels; }

// mean, and the moving average that follows it: moving += follow * (batch - moving).
extern "C" __global__ void finish_mean(const REAL* parts, int count, int channels, int64 rows, REAL follow, REAL* mean,
                                       REAL* moving) {
    const int c = own_channel();
    const REAL sum = sum_of_parts(parts, count, channels, c, c < channels);
    if (!writes(c, channels)) return;
    mean[c] = sum / rows;
    moving[c] += follow * (mean[c] - moving[c]);
}

// 1 / sqrt(variance + epsilon), and the moving average of the variance.
extern "C" __global__ void finish_variance(const REAL* parts, int count, int channels, int64 rows, REAL follow,
                                           REAL epsilon, REAL* inverse_std, REAL* moving) {
    const int c = own_channel();
    const REAL sum = sum_of_parts(parts, count, channels, c, c < channels);
    if (!writes(c, channels)) return;
    const REAL variance = sum / rows;
    inverse_std[c] = 1 / sqrt(variance + epsilon);
    moving[c] += follow * (variance - moving[c]);
}

// What inference normalizes with.
extern "C" __global__ void use_moving(const REAL* moving_mean, const REAL* moving_variance, int channels, REAL epsilon,
                                      REAL* mean, REAL* inverse_std) {
    const int c = first_element();
    if (c >= channels) return;
    mean[c] = moving_mean[c];
    inverse_std[c] = 1 / sqrt(moving_variance[c] + epsilon);
}

__device__ __forceinline__ REAL affine(REAL x, const REAL* mean, const REAL* inverse_std, const REAL* gamma,
                                       const REAL* beta, int c) {
    const REAL value = (x - mean[c]) * (gamma ? inverse_std[c] * gamma[c] : inverse_std[c]);
    return beta ? value + beta[c] : value;
}

extern "C" __global__ void normalize(const REAL* x, const REAL* mean, const REAL* inverse_std, const REAL* gamma,
                                     const REAL* beta, const REAL* added, REAL* y, int relu, int64 size,
                                     int channels) {
    for (int64 i = first_element(); i < size; i += all_threads()) {
        REAL value = affine(x[i], mean, inverse_std, gamma, beta, i % channels);
        value = added ? value + added[i] : value;
        y[i] = relu && value <= 0 ? REAL(0) : value;
    }
}

// masked = dy; with ReLU where y, or what x becomes, is positive or NaN.
extern "C" __global__ void mask_gradient(const REAL* x, const REAL* mean, const REAL* inverse_std, const REAL* gamma,
                                         const REAL* beta, const REAL* y, const REAL* dy, REAL* masked, int relu,
                                         int64 size, int channels) {
    for (int64 i = first_element(); i < size; i += all_threads()) {
        const REAL value = y ? y[i] : affine(x[i], mean, inverse_std, gamma, beta, i % channels);
        masked[i] = relu && value <= 0 ? REAL(0) : dy[i];
    }
}

// dx = factor * (dy - (sum of dy + normalized x * sum of dy * normalized x) / rows); `sum_dy` is null in inference.
extern "C" __global__ void normalize_gradient(const REAL* x, const REAL* dy, const REAL* mean, const REAL* inverse_std,
                                              const REAL* gamma, const REAL* sum_dy, const REAL* sum_x, REAL* dx,
                                              int64 rows, int channels) {
    for (int64 i = first_element(); i < rows * channels; i += all_threads()) {
        const int c = i % channels;
        const REAL factor = gamma ? inverse_std[c] * gamma[c] : inverse_std[c];
        const REAL normalized = (x[i] - mean[c]) * inverse_std[c];
        dx[i] = factor * (sum_dy ? dy[i] - (sum_dy[c] + normalized * sum_x[c]) / rows : dy[i]);
    }
}
