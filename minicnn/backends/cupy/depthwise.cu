// Depthwise convolutions: filter f reads channel f / times. Memory is what they wait for, so a thread has V neighbouring
// filters of a strip of neighbouring pixels, which share what they read.
//
// The file is compiled for a size: taps in a row, stride, dilation and what is left of the padding by the stride, all in x;
// V; and the rows of taps whose gradient a thread adds up. So a strip knows which pixels meet which taps.

constexpr int TAPS = SIZE_0, STRIDE = SIZE_1, DILATION = SIZE_2, SHIFT = SIZE_3, V = SIZE_4, TAP_ROWS = SIZE_5;
constexpr int STRIP = 4;  // positions of the window
constexpr int SPAN = (STRIP - 1) * STRIDE + (TAPS - 1) * DILATION + 1;  // pixels that they see in a row
constexpr int PIXELS = STRIDE > 8 ? STRIDE : 8 / STRIDE * STRIDE;  // of a strip of the input's gradient

struct Vector {
    REAL of[V];
};

__device__ __forceinline__ Vector load(const REAL* at) {
    Vector v;
#if SIZE_4 == 4
    const float4 four = *reinterpret_cast<const float4*>(at);
    v.of[0] = four.x, v.of[1] = four.y, v.of[2] = four.z, v.of[3] = four.w;
#else
    v.of[0] = *at;
#endif
    return v;
}

__device__ __forceinline__ void store(REAL* at, const Vector& v) {
#if SIZE_4 == 4
    *reinterpret_cast<float4*>(at) = make_float4(v.of[0], v.of[1], v.of[2], v.of[3]);
#else
    *at = v.of[0];
#endif
}

__device__ __forceinline__ Vector zeros() {
    Vector v;
    for (int i = 0; i < V; ++i) v.of[i] = 0;
    return v;
}

__device__ __forceinline__ Vector load_if(bool inside, const REAL* at) { return inside ? load(at) : zeros(); }

__device__ __forceinline__ void add_product(Vector& sum, const Vector& a, const Vector& b) {
#pragma unroll
    for (int i = 0; i < V; ++i) sum.of[i] += a.of[i] * b.of[i];
}

// dy, as far as ReLU lets it through if its output y is given: where that is positive or NaN.
__device__ __forceinline__ Vector load_passed(bool inside, const REAL* dy, const REAL* y, int64 at) {
    Vector v = load_if(inside, dy + at);
    if (y) {
        const Vector value = load_if(inside, y + at);
#pragma unroll
        for (int i = 0; i < V; ++i) v.of[i] = value.of[i] <= 0 ? REAL(0) : v.of[i];
    }
    return v;
}

// Where a thread of `forward` or `input_gradient` works. A block has `lines` rows of images, or, if there is one, a part of
// it; neighbouring threads have neighbouring channels.
struct Place {
    int image, row, strip, first;  // `first`: of V channels
    bool is_inside;
};

__device__ __forceinline__ Place place(int images, int height, int strips, int channels, int lines) {
    const int vectors = channels / V, items = strips * vectors;
    const int line = lines == 1 ? 0 : threadIdx.x / items;
    const int item = lines == 1 ? blockIdx.y * blockDim.x + threadIdx.x : threadIdx.x - line * items;
    const int row = blockIdx.x * lines + line, image = row / height, strip = item / vectors;
    return {image, row - image * height, strip, (item - strip * vectors) * V,
            line < lines && item < items && image < images};
}

// The tap, in x, by which position s of a strip meets pixel p of what the strip sees; -1: none.
__device__ constexpr int tap_of(int p, int s) {
    const int away = p - s * STRIDE;
    return away < 0 || away % DILATION || away / DILATION >= TAPS ? -1 : away / DILATION;
}

__device__ constexpr bool is_seen(int p) {
    for (int s = 0; s < STRIP; ++s)
        if (tap_of(p, s) >= 0) return true;
    return false;
}

// y[n, i, j, f] = bias[f] + sum over taps of x[n, pixel, f / times] * kernel[tap, f], then ReLU.
extern "C" __global__ void __launch_bounds__(256)
    forward(const REAL* __restrict__ x, const REAL* __restrict__ kernel, const REAL* bias, REAL* __restrict__ y, int images,
            int filters, int times, int relu, int lines, Window w) {
    const Place at = place(images, w.out_height, (w.out_width + STRIP - 1) / STRIP, filters, lines);
    if (!at.is_inside) return;
    const int channels = filters / times, first = at.strip * STRIP, left = first * STRIDE - w.pad_left;
    const REAL* image = x + (int64)at.image * w.in_height * w.in_width * channels + at.first / times;
    Vector sums[STRIP];
#pragma unroll
    for (int s = 0; s < STRIP; ++s) sums[s] = bias ? load(bias + at.first) : zeros();
    for (int tap_row = 0; tap_row < w.kernel_height; ++tap_row) {
        const int row = at.row * w.stride_y - w.pad_top + tap_row * w.dilation_y;
        if (row < 0 || row >= w.in_height) continue;
        Vector taps[TAPS];
#pragma unroll
        for (int t = 0; t < TAPS; ++t) taps[t] = load(kernel + (int64)(tap_row * TAPS + t) * filters + at.first);
        const REAL* pixels = image + (int64)row * w.in_width * channels;
#pragma unroll
        for (int p = 0; p < SPAN; ++p) {
            if (!is_seen(p)) continue;
            const int column = left + p;
            const Vector pixel = load_if(column >= 0 && column < w.in_width, pixels + (int64)column * channels);
#pragma unroll
            for (int s = 0; s < STRIP; ++s)
                if (tap_of(p, s) >= 0) add_product(sums[s], pixel, taps[tap_of(p, s) < 0 ? 0 : tap_of(p, s)]);
        }
    }
    REAL* out = y + (((int64)at.image * w.out_height + at.row) * w.out_width + first) * filters + at.first;
#pragma unroll
    for (int s = 0; s < STRIP; ++s) {
        if (first + s >= w.out_width) break;
#pragma unroll
        for (int i = 0; i < V; ++i) sums[s].of[i] = relu && sums[s].of[i] <= 0 ? REAL(0) : sums[s].of[i];
        store(out + (int64)s * filters, sums[s]);
    }
}

// Whether pixel s of a strip of the gradient meets, by tap t, position q, counted from the one that begins where it does.
__device__ constexpr bool meets(int s, int t, int q) { return s + SHIFT - t * DILATION == q * STRIDE; }

__device__ constexpr bool is_met(int q) {
    for (int s = 0; s < PIXELS; ++s)
        for (int t = 0; t < TAPS; ++t)
            if (meets(s, t, q)) return true;
    return false;
}

// dx[n, pixel, c] = sum over f of channel c, and over the taps by which positions see the pixel, of
// dy[n, position, f] * kernel[tap, f]; where y is given, of dy as far as ReLU lets it through.
extern "C" __global__ void __launch_bounds__(256)
    input_gradient(const REAL* __restrict__ dy, const REAL* __restrict__ y, const REAL* __restrict__ kernel,
                   REAL* __restrict__ dx, int images, int channels, int times, int lines, Window w) {
    constexpr int FIRST = -((TAPS - 1) * DILATION) / STRIDE - 1, LAST = (PIXELS - 1 + SHIFT) / STRIDE;
    const Place at = place(images, w.in_height, (w.in_width + PIXELS - 1) / PIXELS, channels, lines);
    if (!at.is_inside) return;
    const int filters = channels * times, first = at.strip * PIXELS, base = first / STRIDE + w.pad_left / STRIDE;
    Vector sums[PIXELS];
#pragma unroll
    for (int s = 0; s < PIXELS; ++s) sums[s] = zeros();
    for (int tap_row = 0; tap_row < w.kernel_height; ++tap_row) {
        const int down = at.row + w.pad_top - tap_row * w.dilation_y, row = down / w.stride_y;
        if (down < 0 || row >= w.out_height || row * w.stride_y != down) continue;
        const int64 position = (((int64)at.image * w.out_height + row) * w.out_width + base) * filters;
        for (int f = at.first * times; f < at.first * times + times; ++f) {
            Vector taps[TAPS];
#pragma unroll
            for (int t = 0; t < TAPS; ++t) taps[t] = load(kernel + (int64)(tap_row * TAPS + t) * filters + f);
#pragma unroll
            for (int q = FIRST; q <= LAST; ++q) {
                if (!is_met(q)) continue;
                const bool inside = base + q >= 0 && base + q < w.out_width;
                const Vector passed = load_passed(inside, dy, y, position + (int64)q * filters + f);
#pragma unroll
                for (int s = 0; s < PIXELS; ++s)
#pragma unroll
                    for (int t = 0; t < TAPS; ++t)
                        if (meets(s, t, q)) add_product(sums[s], passed, taps[t]);
            }
        }
    }
    REAL* out = dx + (((int64)at.image * w.in_height + at.row) * w.in_width + first) * channels + at.first;
#pragma unroll
    for (int s = 0; s < PIXELS; ++s)
        if (first + s < w.in_width) store(out + (int64)s * channels, sums[s]);
}

// Parts of dkernel[tap, f] = sum over positions of x[n, pixel, f / times] * dy[n, position, f], and behind them, if
// `has_bias`, of dy; dy as above. A block has a stretch of the strips (gridDim.x of them), `lanes` vectors of filters and
// TAP_ROWS rows of taps.
constexpr int BLOCK = 128, PADDED = BLOCK + 8;  // so that lines lie in different banks
constexpr int SUMS = TAP_ROWS * TAPS + 1;       // the last one is the bias's

extern "C" __global__ void __launch_bounds__(128)
    kernel_gradient(const REAL* __restrict__ x, const REAL* __restrict__ dy, const REAL* __restrict__ y,
                    REAL* __restrict__ parts, int images, int filters, int times, int has_bias, int lanes, Window w) {
    DYNAMIC_SHARED(REAL, scratch);
    const int line = threadIdx.x / lanes, lines = BLOCK / lanes, lane = threadIdx.x - line * lanes;
    const int f = (blockIdx.y * lanes + lane) * V, first_row = blockIdx.z * TAP_ROWS, channels = filters / times;
    const int strips = (w.out_width + STRIP - 1) / STRIP;
    int64 begin, end;
    rows_of_part(blockIdx.x, gridDim.x, (int64)images * w.out_height * strips, &begin, &end);
    Vector sums[SUMS];
#pragma unroll
    for (int i = 0; i < SUMS; ++i) sums[i] = zeros();
    for (int64 i = begin + line; i < end && line < lines && f < filters; i += lines) {
        const int64 line_of_all = i / strips;
        const int first = (int)(i - line_of_all * strips) * STRIP, left = first * STRIDE - w.pad_left;
        const int64 image = line_of_all / w.out_height;
        const int top = (int)(line_of_all - image * w.out_height) * w.stride_y - w.pad_top;
        const int64 position = (line_of_all * w.out_width + first) * filters + f;
        Vector passed[STRIP];
#pragma unroll
        for (int s = 0; s < STRIP; ++s) {
            passed[s] = load_passed(first + s < w.out_width, dy, y, position + (int64)s * filters);
#pragma unroll
            for (int c = 0; c < V; ++c) sums[SUMS - 1].of[c] += passed[s].of[c];
        }
#pragma unroll
        for (int r = 0; r < TAP_ROWS; ++r) {
            const int row = top + (first_row + r) * w.dilation_y;
            const bool is_row = first_row + r < w.kernel_height && row >= 0 && row < w.in_height;
            const REAL* pixels = x + (image * w.in_height + row) * w.in_width * channels + f / times;
#pragma unroll
            for (int p = 0; p < SPAN; ++p) {
                if (!is_seen(p)) continue;
                const int column = left + p;
                const bool inside = is_row && column >= 0 && column < w.in_width;
                const Vector pixel = load_if(inside, pixels + (int64)column * channels);
#pragma unroll
                for (int s = 0; s < STRIP; ++s)
                    if (tap_of(p, s) >= 0)
                        add_product(sums[r * TAPS + (tap_of(p, s) < 0 ? 0 : tap_of(p, s))], pixel, passed[s]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < SUMS; ++i)
#pragma unroll
        for (int c = 0; c < V; ++c) scratch[(i * V + c) * PADDED + threadIdx.x] = sums[i].of[c];
    __syncthreads();
    const int64 size = (int64)w.kernel_height * TAPS * filters, stride = size + (has_bias ? filters : 0);
    REAL* part = parts + blockIdx.x * stride;
    for (int item = threadIdx.x; item < SUMS * V * lanes; item += BLOCK) {
        const int sum = item / lanes, own = item - sum * lanes, tap = sum / V;
        const int filter = (blockIdx.y * lanes + own) * V + sum - tap * V;
        const bool is_bias = tap == SUMS - 1, is_wanted = is_bias ? has_bias && first_row == 0
                                                                  : first_row + tap / TAPS < w.kernel_height;
        if (filter >= filters || !is_wanted) continue;
        REAL total = 0;
        for (int other = 0; other < lines; ++other) total += scratch[sum * PADDED + other * lanes + own];
        part[is_bias ? size + filter : (int64)(first_row * TAPS + tap) * filters + filter] = total;
    }
}
