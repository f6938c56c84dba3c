// What kernels of convolutions on tensor cores have in common: where positions lie, the patch of pixels that they see, and
// their results, computed anew where float32's multiplications must be.

struct Place {
    int image, y, x;
};

// What row m of the result sees, as a place in the source: a position, or the one of a window's four that `down` and
// `right` say.
__device__ __forceinline__ Place place_of(const Convolution& g, int m, int down, int right) {
    const int size = g.pool ? 2 : 1;
    const int line = divide(m, g.width_magic, g.width_shift), image = divide(m, g.image_magic, g.image_shift);
    return {image, ((line - image * g.row_height) * size + down) * g.stride_y,
            ((m - line * g.row_width) * size + right) * g.stride_x};
}

// The gradient of the input of a convolution with strides: rows and columns of dx whose remainders, divided by the strides,
// are the same meet the same taps, every other one, say. For each pair of remainders it is a convolution of stride 1 with
// these taps, in reverse order, and no multiplication by zero. `number`: those with more taps come first.
__device__ __forceinline__ Convolution part_of(Convolution g, int number) {
    const int p = number / g.divide_x, q = number % g.divide_x;  // the first tap that they meet
    const int down = (g.kernel_height - p + g.divide_y - 1) / g.divide_y;
    const int across = (g.kernel_width - q + g.divide_x - 1) / g.divide_x;
    g.rest_y = ((p - g.pad_top) % g.divide_y + g.divide_y) % g.divide_y;
    g.rest_x = ((q - g.pad_left) % g.divide_x + g.divide_x) % g.divide_x;
    g.pad_top = down - 1 - (g.rest_y + g.pad_top - p) / g.divide_y;
    g.pad_left = across - 1 - (g.rest_x + g.pad_left - q) / g.divide_x;
    g.first_tap = (p + g.divide_y * (down - 1)) * g.kernel_width + q + g.divide_x * (across - 1);
    g.tap_row = -g.divide_y * g.kernel_width, g.tap_column = -g.divide_x;
    g.kernel_height = down, g.kernel_width = across;
    if (down * across == 0) g.slices = 0;  // nothing is added up, and zeros are written
    return g;
}

// Where row m of the result is written, in pixels or windows; -1: nowhere.
__device__ __forceinline__ int row_of_out(const Convolution& g, int m) {
    if (m >= g.rows) return -1;
    if (g.divide_y * g.divide_x == 1) return m;
    const Place at = place_of(g, m, 0, 0);
    const int y = at.y * g.divide_y + g.rest_y, x = at.x * g.divide_x + g.rest_x;
    return y < g.out_height && x < g.out_width ? (at.image * g.out_height + y) * g.out_width + x : -1;
}

// The first pixel that a tile sees, whose first position this is: what lies above the image, left of it or below it is no
// part of the patch.
__device__ __forceinline__ int first_pixel_of(const Convolution& g, Place corner) {
    const int top = corner.y - g.pad_top, left = corner.x - g.pad_left;
    return (corner.image * g.height + max(top, 0)) * g.width + (top >= 0 && top < g.height ? max(left, 0) : 0);
}

// The patch's pixel under the first tap of a position; `inside`: the taps that lie inside the image, as bits.
__device__ __forceinline__ int pixel_under(const Convolution& g, Place at, int first_pixel, uint32& inside) {
    const int y = at.y - g.pad_top, x = at.x - g.pad_left;
    uint32 columns = 0;
    for (int q = 0; q < g.kernel_width; ++q) columns |= (uint32)(x + q >= 0 && x + q < g.width) << q;
    inside = 0;
    for (int p = 0; p < g.kernel_height; ++p)
        if (y + p >= 0 && y + p < g.height && at.image < g.images) inside |= columns << p * g.kernel_width;
    return (at.image * g.height + y) * g.width + x - first_pixel;
}

// Copies of a slice of the terms of a block's pixels, PITCH bytes apart, as one group: SLICE / 4 threads have a pixel.
template <int THREADS, int SLICE, int PITCH>
struct Patch {
    static constexpr int LANES_OF_PIXEL = SLICE / 4, LINES = THREADS / LANES_OF_PIXEL;
    const Convolution& g;
    const float *source, *source_at;
    int my_pixel, my_channel, pixels;  // that exist

    __device__ __forceinline__ Patch(const Convolution& g, const float* source, int first_pixel) : g(g), source(source) {
        my_pixel = threadIdx.x / LANES_OF_PIXEL, my_channel = threadIdx.x % LANES_OF_PIXEL * 4;
        pixels = min(g.patch, g.images * g.height * g.width - first_pixel);
        source_at = source + (int64)(first_pixel + my_pixel) * g.channels + my_channel;
    }

    __device__ __forceinline__ void load(uint32 patch, int slice) const {
        const float* at = source_at + slice * SLICE;
        uint32 to = patch + my_pixel * PITCH + my_channel * 4;
        const int limit = slice * SLICE + my_channel < g.channels ? pixels : 0;
#pragma unroll 4
        for (int pixel = my_pixel; pixel < g.patch; pixel += LINES) {
            copy_in_group(to, pixel < limit ? at : source, pixel < limit);
            at += LINES * g.channels;
            to += LINES * PITCH;
        }
    }
};

// The sum of a position and a column by float32's multiplications, one term after the other; outside the image are zeros.
template <bool TURNED>
__device__ __forceinline__ float plain_sum(const float* source, const float* kernel, const Convolution& g, Place at,
                                           int n) {
    const int taps = g.kernel_height * g.kernel_width;
    float sum = 0;
    for (int tap = 0; tap < taps && sum == sum; ++tap) {  // NaN stays NaN: a training that has diverged loses no time here
        const int y = at.y - g.pad_top + tap / g.kernel_width, x = at.x - g.pad_left + tap % g.kernel_width;
        const bool inside = y >= 0 && y < g.height && x >= 0 && x < g.width;
        const float* const pixel = source + (((int64)at.image * g.height + y) * g.width + x) * g.channels;
        const int used = g.first_tap + tap / g.kernel_width * g.tap_row + tap % g.kernel_width * g.tap_column;
        const float* const weights = TURNED ? kernel + ((int64)used * g.filters + n) * g.channels
                                            : kernel + (int64)used * g.channels * g.filters + n;
#pragma unroll 1
        for (int c = 0; c < g.channels && sum == sum; ++c)
            sum += (inside ? pixel[c] : 0.0f) * weights[TURNED ? c : (int64)c * g.filters];
    }
    return sum;
}

__device__ __forceinline__ float activate(float value, bool relu) { return relu && value < 0 ? 0.0f : value; }

// The maximum of a window's four sums, where NaN beats every number; then bias and ReLU, which change no order.
__device__ __forceinline__ float pooled(const float (&sums)[4], float bias, bool relu, unsigned char& taken) {
    float best = sums[0];
    taken = 0;
#pragma unroll
    for (int t = 1; t < 4; ++t)
        if (sums[t] > best || (sums[t] != sums[t] && best == best)) best = sums[t], taken = t;
    best += bias;
    if (relu && best <= 0) taken = 255;
    return activate(best, relu);
}

// Results of this thread whose sums were not finite, `count` of them at most: all anew. find(t, m, n): row and column of
// one; returns whether there is one.
template <bool TURNED, typename Find>
__device__ __forceinline__ void write_plain(const float* source, const float* kernel, const float* bias, float* out,
                                            unsigned char* winner, const Convolution& g, int count, Find find) {
#pragma unroll 1
    for (int t = 0; t < count; ++t) {
        int m, n;
        if (!find(t, m, n) || n >= g.filters || row_of_out(g, m) < 0) continue;
        const float offset = bias ? bias[n] : 0;
        const int64 at = (int64)row_of_out(g, m) * g.filters + n;
        float sums[4];
#pragma unroll
        for (int s = 0; s < 4; ++s)
            if (s == 0 || g.pool) sums[s] = plain_sum<TURNED>(source, kernel, g, place_of(g, m, s / 2, s % 2), n);
        unsigned char taken;
        out[at] = g.pool ? pooled(sums, offset, g.relu, taken) : activate(sums[0] + offset, g.relu);
        if (g.pool && winner) winner[at] = taken;
    }
}
