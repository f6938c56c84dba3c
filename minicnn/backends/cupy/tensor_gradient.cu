// The gradient of a convolution's kernel on tensor cores, float32:
// dkernel[tap, c, f] = sum over positions of x[position * stride + tap, c] * dy[position, f].
//
// A block takes one row of taps (KW of them), CHANNELS channels and FILTERS filters: KW * CHANNELS x FILTERS sums, over its
// share of the positions ("split"). The pixels that POSITIONS positions see through a row of taps are one stretch of
// memory, for strides of 1 KW - 1 longer than the positions or a little more: it is loaded once and used by all taps of the
// row. A term of the sum is a pointer to a pixel, and to a row of zeros where the tap falls outside the image. The splits' sums lie in
// parts, which somebody adds in their order.

constexpr int CHANNELS = SIZE_0, FILTERS = SIZE_1, WARPS_M = SIZE_2, WARPS_N = SIZE_3, KW = SIZE_5;
constexpr int PATCH = SIZE_6;  // pixels, the most that POSITIONS positions see through a row of taps
constexpr int PRODUCTS = SIZE_7;
constexpr int THREADS = WARPS_M * WARPS_N * 32;
constexpr int MT = KW * CHANNELS / 16 / WARPS_M, NT = FILTERS / 8 / WARPS_N;  // a warp computes MT x NT tiles of 16 x 8
constexpr int X_PITCH = CHANNELS + 8, DY_PITCH = FILTERS + 8;  // a warp's four rows of eight lie in 32 banks
constexpr int POSITIONS = 32, STAGES = 3;
constexpr int X_LINES = THREADS / (CHANNELS / 4), DY_LINES = THREADS / (FILTERS / 4);  // pixels of one load of all threads
static_assert(KW * CHANNELS % (16 * WARPS_M) == 0 && POSITIONS % DY_LINES == 0, "sizes that the loops below can do");

__device__ __forceinline__ void correlate_share(const float* __restrict__ x, const float* __restrict__ dy,
                                                float* __restrict__ parts, float* __restrict__ bias_parts,
                                                const Correlation& g, uint32 block, uint32 split) {
    DYNAMIC_SHARED(float, shared);
    float* const x_stages = shared + X_PITCH;  // before it, a row of zeros
    float* const dy_stages = x_stages + STAGES * PATCH * X_PITCH;
    uint32* const places = (uint32*)(dy_stages + STAGES * POSITIONS * DY_PITCH);  // pixel << 8 | which taps are inside

    const int tiles_f = (g.filters + FILTERS - 1) / FILTERS, tiles_c = (g.channels + CHANNELS - 1) / CHANNELS;
    const int filter = block % tiles_f * FILTERS, channel = block / tiles_f % tiles_c * CHANNELS;
    const int tap_row = block / tiles_f / tiles_c;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warp_m = warp % WARPS_M, warp_n = warp / WARPS_M;
    const int positions = g.images * g.out_height * g.out_width;
    const uint32 pixels = g.images * g.height * g.width;
    const int first_stage = split * g.stages_per_split;
    const int stages = min(g.stages_per_split, (positions + POSITIONS - 1) / POSITIONS - first_stage);

    // The pixel under the first tap of position m, and where it lies.
    auto pixel_of = [&](int m, int& y, int& left) {
        const int line = divide(m, g.width_magic, g.width_shift), image = divide(m, g.image_magic, g.image_shift);
        y = (line - image * g.out_height) * g.stride_y + tap_row - g.pad_top;
        left = (m - line * g.out_width) * g.stride_x - g.pad_left;
        return (image * g.height + y) * g.width + left;
    };
    const int x_line = threadIdx.x / (CHANNELS / 4), x_channel = threadIdx.x % (CHANNELS / 4) * 4;
    const int dy_line = threadIdx.x / (FILTERS / 4), dy_filter = threadIdx.x % (FILTERS / 4) * 4;
    const bool is_channel = channel + x_channel < g.channels, is_filter = filter + dy_filter < g.filters;
    const float* const x_at = x + channel + x_channel;
    const float* const dy_at = dy + filter + dy_filter;
    const uint32 x_to = shared_address(x_stages) + (x_line * X_PITCH + x_channel) * 4;
    const uint32 dy_to = shared_address(dy_stages) + (dy_line * DY_PITCH + dy_filter) * 4;
    auto load = [&](int number, int stage) {
        if (number >= stages) return;
        const int m = (first_stage + number) * POSITIONS;
        int y, left;
        const int first = pixel_of(m, y, left);
        const float* from = x_at + (int64)(first + x_line) * g.channels;
#pragma unroll
        for (int i = 0; i < (PATCH + X_LINES - 1) / X_LINES; ++i) {
            const int p = x_line + i * X_LINES;
            const bool inside = is_channel && (uint32)(first + p) < pixels;
            if (p < PATCH)
                copy_in_group(x_to + (stage * PATCH + i * X_LINES) * (X_PITCH * 4),
                              inside ? from + i * X_LINES * g.channels : x, inside);
        }
        from = dy_at + (int64)(m + dy_line) * g.filters;
#pragma unroll
        for (int i = 0; i < POSITIONS / DY_LINES; ++i) {
            const bool inside = is_filter && m + dy_line + i * DY_LINES < positions;
            copy_in_group(dy_to + (stage * POSITIONS + i * DY_LINES) * (DY_PITCH * 4),
                          inside ? from + i * DY_LINES * g.filters : dy, inside);
        }
        if (threadIdx.x < POSITIONS) {
            const int pixel = pixel_of(m + threadIdx.x, y, left) - first;
            uint32 inside = 0;
#pragma unroll
            for (int q = 0; q < KW; ++q) inside |= (uint32)((uint32)(left + q) < g.width) << q;
            if (m + threadIdx.x >= positions || (uint32)y >= g.height) inside = 0;
            places[stage * POSITIONS + threadIdx.x] = (uint32)pixel << 8 | inside;
        }
    };

    for (int i = threadIdx.x; i < X_PITCH; i += THREADS) shared[i] = 0;
#pragma unroll
    for (int number = 0; number < STAGES - 1; ++number) {
        load(number, number);
        end_group();
    }
    float sums[MT][NT][4] = {}, bias_sums[NT] = {};
    int stage = 0;
    for (int number = 0; number < stages; ++number) {
        wait_for_all_groups_but<STAGES - 2>();
        __syncthreads();
        load(number + STAGES - 1, stage == 0 ? STAGES - 1 : stage - 1);
        end_group();
        const float* const x_now = x_stages + stage * (PATCH * X_PITCH);
        const float* const dy_now = dy_stages + stage * (POSITIONS * DY_PITCH) + warp_n * NT * 8 + lane / 4;
        float fresh[MT][NT][4] = {};
        auto& now = PRODUCTS == 3 ? fresh : sums;
        multiply_eights<PRODUCTS, POSITIONS / 8>(now, [&](int k, uint32 (&a)[MT][4], uint32 (&b)[NT][2]) {
            uint32 place[2];
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int p = k * 8 + half * 4 + lane % 4;
                place[half] = places[stage * POSITIONS + p];
#pragma unroll
                for (int j = 0; j < NT; ++j) b[j][half] = __float_as_uint(dy_now[p * DY_PITCH + j * 8]);
            }
#pragma unroll
            for (int i = 0; i < MT; ++i) {
                const int tile = warp_m * MT + i, q = tile / (CHANNELS / 16), c = tile % (CHANNELS / 16) * 16 + lane / 4;
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const float* row = place[half] >> q & 1 ? x_now + ((place[half] >> 8) + q) * X_PITCH : shared;
                    a[i][half * 2] = __float_as_uint(row[c]);
                    a[i][half * 2 + 1] = __float_as_uint(row[c + 8]);
                }
            }
            if (bias_parts)
#pragma unroll
                for (int j = 0; j < NT; ++j) bias_sums[j] += __uint_as_float(b[j][0]) + __uint_as_float(b[j][1]);
        });
        if (PRODUCTS == 3) add_tiles(sums, fresh);
        stage = stage == STAGES - 1 ? 0 : stage + 1;
    }

    parts += (int64)split * g.kernel_height * KW * g.channels * g.filters;
    const bool finite = are_finite(sums);
#pragma unroll
    for (int i = 0; i < MT; ++i) {
        const int tile = warp_m * MT + i, q = tile / (CHANNELS / 16);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int c = channel + tile % (CHANNELS / 16) * 16 + half * 8 + lane / 4;
            if (!finite || c >= g.channels) continue;
            float* const row = parts + ((int64)(tap_row * KW + q) * g.channels + c) * g.filters;
#pragma unroll
            for (int j = 0; j < NT; ++j) {
                const int f = filter + (warp_n * NT + j) * 8 + lane % 4 * 2;
                if (f < g.filters) *(float2*)(row + f) = make_float2(sums[i][j][half * 2], sums[i][j][half * 2 + 1]);
            }
        }
    }
    const int first = first_stage * POSITIONS, end = min(positions, first + stages * POSITIONS);
#pragma unroll 1
    for (int t = 0; !finite && t < MT * NT * 4; ++t) {
        const int tile = warp_m * MT + t / (NT * 4), q = tile / (CHANNELS / 16);
        const int c = channel + tile % (CHANNELS / 16) * 16 + t / 2 % 2 * 8 + lane / 4;
        const int f = filter + (warp_n * NT + t / 4 % NT) * 8 + lane % 4 * 2 + t % 2;
        if (c < g.channels && f < g.filters)
            parts[((int64)(tap_row * KW + q) * g.channels + c) * g.filters + f] =
                plain_sum(x, dy, g, tap_row, q, c, f, first, end);
    }
    if (bias_parts && tap_row == 0 && channel == 0 && warp_m == 0) {
#pragma unroll
        for (int j = 0; j < NT; ++j) {
            float sum = bias_sums[j];
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            const int f = filter + (warp_n * NT + j) * 8 + lane / 4;
            if (lane % 4 == 0 && f < g.filters) bias_parts[(int64)split * g.filters + f] = sum;
        }
    }
}
