// Batch normalization, in three passes forward and three back, of which the middle one is short.

// The channel of element i; 64-bit divisions take long.
__device__ __forceinline__ int channel_of(int64 i, int64 size, int channels) {
    return size <= 0xffffffffll ? (uint32)i % (uint32)channels : i % channels;
}

// Sums over a stretch of rows of two terms each, for LANES channels a block: term(element, channel, first, second) adds to
// both. Parts (gridDim.y, channels); line 0 gets the sums.
template <typename F>
__device__ __forceinline__ void sum_two_columns(int64 first, int64 end, int channels, F term, REAL (&sums)[2]) {
    __shared__ REAL scratch[2][ROWS][LANES];
    const int lane = threadIdx.x % LANES, line = threadIdx.x / LANES, c = blockIdx.x * LANES + lane;
    sums[0] = sums[1] = 0;
    if (c < channels)
        for (int64 row = first + line; row < end; row += ROWS) term(row * channels + c, c, sums[0], sums[1]);
    scratch[0][line][lane] = sums[0];
    scratch[1][line][lane] = sums[1];
    __syncthreads();
    for (int other = 1; line == 0 && other < ROWS; ++other) {
        sums[0] += scratch[0][other][lane];
        sums[1] += scratch[1][other][lane];
    }
}

// Of each stretch of rows the mean, and the sum of the squared differences from it. Both are sums of differences from the
// stretch's first row (Chan, Golub, LeVeque: "Algorithms for computing the sample variance", 1983).
extern "C" __global__ void moments_of_parts(const REAL* x, REAL* means, REAL* squares, int64 rows, int channels) {
    int64 first, end;
    rows_of_part(blockIdx.y, gridDim.y, rows, &first, &end);
    const int c = blockIdx.x * LANES + threadIdx.x % LANES;
    const REAL shift = c < channels && first < end ? x[first * channels + c] : REAL(0);
    REAL sums[2];
    auto term = [&](int64 i, int, REAL& sum, REAL& square) {
        const REAL difference = x[i] - shift;
        sum += difference;
        square += difference * difference;
    };
    sum_two_columns(first, end, channels, term, sums);
    if (threadIdx.x >= LANES || c >= channels) return;
    const REAL mean = first < end ? sums[0] / (end - first) : REAL(0);
    means[(int64)blockIdx.y * channels + c] = shift + mean;
    squares[(int64)blockIdx.y * channels + c] = sums[1] - mean * sums[0];
}

// The channel of this thread in the kernels below, which run in blocks of 32 x lines threads.
__device__ __forceinline__ int own_channel() { return blockIdx.x * 32 + threadIdx.x % 32; }
__device__ __forceinline__ bool writes(int c, int channels) { return threadIdx.x < 32 && c < channels; }

// mean, 1 / sqrt(variance + epsilon), and the moving averages that follow: moving += follow * (batch - moving).
extern "C" __global__ void finish_moments(const REAL* means, const REAL* squares, int count, int channels, int64 rows,
                                          REAL follow, REAL epsilon, REAL* mean, REAL* inverse_std, REAL* moving_mean,
                                          REAL* moving_variance) {
    const int c = own_channel();
    const bool inside = c < channels;
    auto of_part = [&](int part) {
        int64 first, end;
        rows_of_part(part, count, rows, &first, &end);
        return REAL(end - first);
    };
    const REAL shift = inside ? means[c] : REAL(0);
    const REAL away = sum_over_lines(count, inside, [&](int i) { return of_part(i) * (means[i * channels + c] - shift); });
    const REAL total = shift + away / rows;
    const REAL square = sum_over_lines(count, inside, [&](int i) {
        const REAL difference = means[i * channels + c] - total;
        return squares[i * channels + c] + of_part(i) * difference * difference;
    });
    if (!writes(c, channels)) return;
    const REAL variance = square / rows;
    mean[c] = total;
    inverse_std[c] = 1 / sqrt(variance + epsilon);
    moving_mean[c] += follow * (total - moving_mean[c]);
    moving_variance[c] += follow * (variance - moving_variance[c]);
}

// What inference normalizes with.
extern "C" __global__ void use_moving(const REAL* moving_mean, const REAL* moving_variance, int channels, REAL epsilon,
                                      REAL* mean, REAL* inverse_std) {
    const int c = first_element();
    if (c >= channels) return;
    mean[c] = moving_mean[c];
    inverse_std[c] = 1 / sqrt(moving_variance[c] + epsilon);
}

// What x becomes in channel c.
__device__ __forceinline__ REAL affine(REAL x, const REAL* mean, const REAL* inverse_std, const REAL* gamma,
                                       const REAL* beta, int c) {
    const REAL value = (x - mean[c]) * (gamma ? inverse_std[c] * gamma[c] : inverse_std[c]);
    return beta ? value + beta[c] : value;
}

extern "C" __global__ void normalize(const REAL* x, const REAL* mean, const REAL* inverse_std, const REAL* gamma,
                                     const REAL* beta, const REAL* added, REAL* y, int relu, int64 size,
                                     int channels) {
    for (int64 i = first_element(); i < size; i += all_threads()) {
        REAL value = affine(x[i], mean, inverse_std, gamma, beta, channel_of(i, size, channels));
        value = added ? value + added[i] : value;
        y[i] = relu && value <= 0 ? REAL(0) : value;
    }
}

// What the gradients read: the moments and weights of `affine`, and dy, which ReLU, if there is one, lets through where y,
// or, without it, what x becomes, is positive or NaN.
struct Passed {
    const REAL *x, *mean, *inverse_std, *gamma, *beta, *y, *dy;
    int relu;

    __device__ __forceinline__ REAL operator()(int64 i, int c) const {
        if (!relu) return dy[i];
        const REAL value = y ? y[i] : affine(x[i], mean, inverse_std, gamma, beta, c);
        return value <= 0 ? REAL(0) : dy[i];
    }
};

// parts_dy: of dy, as far as ReLU lets it through, which `masked` gets too, if not null; parts_x: of dy * normalized x.
extern "C" __global__ void norm_gradient_sums(const REAL* x, const REAL* mean, const REAL* inverse_std,
                                              const REAL* gamma, const REAL* beta, const REAL* y, const REAL* dy,
                                              int relu, REAL* masked, REAL* parts_dy, REAL* parts_x, int64 rows,
                                              int channels) {
    const Passed passed{x, mean, inverse_std, gamma, beta, y, dy, relu};
    int64 first, end;
    rows_of_part(blockIdx.y, gridDim.y, rows, &first, &end);
    REAL sums[2];
    auto term = [&](int64 i, int c, REAL& sum, REAL& product) {
        const REAL d = passed(i, c);
        if (masked) masked[i] = d;
        sum += d;
        product += d * ((x[i] - mean[c]) * inverse_std[c]);
    };
    sum_two_columns(first, end, channels, term, sums);
    const int c = blockIdx.x * LANES + threadIdx.x % LANES;
    if (threadIdx.x >= LANES || c >= channels) return;
    parts_dy[(int64)blockIdx.y * channels + c] = sums[0];
    parts_x[(int64)blockIdx.y * channels + c] = sums[1];
}

extern "C" __global__ void finish_gradient_sums(const REAL* parts_dy, const REAL* parts_x, int count, int channels,
                                                REAL* sum_dy, REAL* sum_x) {
    const int c = own_channel();
    const REAL dy = sum_of_parts(parts_dy, count, channels, c, c < channels);
    const REAL x = sum_of_parts(parts_x, count, channels, c, c < channels);
    if (!writes(c, channels)) return;
    sum_dy[c] = dy;
    sum_x[c] = x;
}

// masked = dy as far as ReLU lets it through.
extern "C" __global__ void mask_gradient(const REAL* x, const REAL* mean, const REAL* inverse_std, const REAL* gamma,
                                         const REAL* beta, const REAL* y, const REAL* dy, int relu, REAL* masked,
                                         int64 size, int channels) {
    const Passed passed{x, mean, inverse_std, gamma, beta, y, dy, relu};
    for (int64 i = first_element(); i < size; i += all_threads()) masked[i] = passed(i, channel_of(i, size, channels));
}

// dx = factor * (dy - (sum of dy + normalized x * sum of dy * normalized x) / rows), of dy as far as ReLU lets it through;
// `sum_dy` is null in inference.
extern "C" __global__ void normalize_gradient(const REAL* x, const REAL* mean, const REAL* inverse_std,
                                              const REAL* gamma, const REAL* beta, const REAL* y, const REAL* dy,
                                              int relu, const REAL* sum_dy, const REAL* sum_x, REAL* dx, int64 rows,
                                              int channels) {
    const Passed passed{x, mean, inverse_std, gamma, beta, y, dy, relu};
    const int64 size = rows * channels;
    for (int64 i = first_element(); i < size; i += all_threads()) {
        const int c = channel_of(i, size, channels);
        const REAL factor = gamma ? inverse_std[c] * gamma[c] : inverse_std[c];
        const REAL normalized = (x[i] - mean[c]) * inverse_std[c], d = passed(i, c);
        dx[i] = factor * (sum_dy ? d - (sum_dy[c] + normalized * sum_x[c]) / rows : d);
    }
}
