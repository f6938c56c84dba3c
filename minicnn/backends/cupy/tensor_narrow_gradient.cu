// The gradient of a convolution's kernel on tensor cores where there are few channels and filters: what tensor_gradient.cu
// computes.
//
// A block takes all taps, channels and filters, and its share of the positions ("split"). Each row of taps has warps of its
// own, and each GROUP of 32 positions of a stage, so that there are enough of them; they read the same pixels and the same
// dy. At the end the groups' sums are added in their order.

constexpr int CHANNELS = SIZE_0, FILTERS = SIZE_1, WARPS_M = SIZE_2, WARPS_N = SIZE_3, KW = SIZE_5, PATCH = SIZE_6;
constexpr int KH = SIZE_7, GROUPS = SIZE_8, PRODUCTS = SIZE_9;
constexpr int WARPS = KH * WARPS_M * WARPS_N * GROUPS, THREADS = WARPS * 32;
constexpr int MT = KW * CHANNELS / 16 / WARPS_M, NT = FILTERS / 8 / WARPS_N;  // a warp computes MT x NT tiles of 16 x 8
constexpr int X_PITCH = CHANNELS + 8, DY_PITCH = FILTERS + 8;  // a warp's four rows of eight lie in 32 banks
constexpr int POSITIONS = 32 * GROUPS, STAGES = 3;
constexpr int X_LINES = THREADS / (CHANNELS / 4), DY_LINES = THREADS / (FILTERS / 4);  // pixels of one load of all threads
static_assert(KW * CHANNELS % (16 * WARPS_M) == 0 && POSITIONS <= THREADS, "sizes that the loops below can do");

// Grid: one block in x, splits in y. parts: (splits, taps, C, F); bias_parts: (splits, F) or null.
extern "C" __global__ void __launch_bounds__(SIZE_7 * SIZE_2 * SIZE_3 * SIZE_8 * 32, SIZE_4)
    correlate(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ parts,
              float* __restrict__ bias_parts, const Correlation g) {
    DYNAMIC_SHARED(float, shared);
    float* const x_stages = shared + X_PITCH;  // before it, a row of zeros
    float* const dy_stages = x_stages + STAGES * PATCH * X_PITCH;
    int* const places = (int*)(dy_stages + STAGES * POSITIONS * DY_PITCH);  // pixels under the first tap
    uint32* const insides = (uint32*)places + STAGES * POSITIONS;           // taps inside the image, as bits

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int warp_m = warp % WARPS_M, warp_n = warp / WARPS_M % WARPS_N;
    const int tap_row = warp / (WARPS_M * WARPS_N) % KH, group = warp / (WARPS_M * WARPS_N * KH);
    const int positions = g.images * g.out_height * g.out_width;
    const uint32 pixels = g.images * g.height * g.width;
    const int first_stage = blockIdx.y * g.stages_per_split;
    const int stages = min(g.stages_per_split, (positions + POSITIONS - 1) / POSITIONS - first_stage);

    // The pixel under the first tap of position m, and where it lies.
    auto pixel_of = [&](int m, int& y, int& left) {
        const int line = divide(m, g.width_magic, g.width_shift), image = divide(m, g.image_magic, g.image_shift);
        y = (line - image * g.out_height) * g.stride_y - g.pad_top;
        left = (m - line * g.out_width) * g.stride_x - g.pad_left;
        return (image * g.height + y) * g.width + left;
    };
    const int x_line = threadIdx.x / (CHANNELS / 4), x_channel = threadIdx.x % (CHANNELS / 4) * 4;
    const int dy_line = threadIdx.x / (FILTERS / 4), dy_filter = threadIdx.x % (FILTERS / 4) * 4;
    const uint32 x_to = shared_address(x_stages) + x_channel * 4, dy_to = shared_address(dy_stages) + dy_filter * 4;
    auto load = [&](int number, int stage) {
        if (number >= stages) return;
        const int m = (first_stage + number) * POSITIONS;
        int y, left;
        const int first = pixel_of(m, y, left);
#pragma unroll
        for (int p = x_line; p < PATCH; p += X_LINES) {
            const bool inside = x_channel < g.channels && (uint32)(first + p) < pixels;
            copy_in_group(x_to + (stage * PATCH + p) * (X_PITCH * 4),
                          inside ? x + (int64)(first + p) * g.channels + x_channel : x, inside);
        }
#pragma unroll
        for (int p = dy_line; p < POSITIONS; p += DY_LINES) {
            const bool inside = dy_filter < g.filters && m + p < positions;
            copy_in_group(dy_to + (stage * POSITIONS + p) * (DY_PITCH * 4),
                          inside ? dy + (int64)(m + p) * g.filters + dy_filter : dy, inside);
        }
        if (threadIdx.x < POSITIONS) {
            places[stage * POSITIONS + threadIdx.x] = pixel_of(m + threadIdx.x, y, left) - first;
            uint32 columns = 0, inside = 0;
#pragma unroll
            for (int q = 0; q < KW; ++q) columns |= (uint32)((uint32)(left + q) < g.width) << q;
#pragma unroll
            for (int p = 0; p < KH; ++p)
                if ((uint32)(y + p) < g.height && m + threadIdx.x < positions) inside |= columns << p * KW;
            insides[stage * POSITIONS + threadIdx.x] = inside;
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
        const float* const x_now = x_stages + (stage * PATCH + tap_row * g.width) * X_PITCH;
        const float* const dy_now = dy_stages + stage * (POSITIONS * DY_PITCH) + warp_n * NT * 8 + lane / 4;
        float fresh[MT][NT][4] = {};
        auto& now = PRODUCTS == 3 ? fresh : sums;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            uint32 a[MT][4], b[NT][2], inside[2];
            int place[2];
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int p = group * 32 + k * 8 + half * 4 + lane % 4;
                place[half] = places[stage * POSITIONS + p];
                inside[half] = insides[stage * POSITIONS + p] >> tap_row * KW;
#pragma unroll
                for (int j = 0; j < NT; ++j) b[j][half] = __float_as_uint(dy_now[p * DY_PITCH + j * 8]);
            }
#pragma unroll
            for (int i = 0; i < MT; ++i) {
                const int tile = warp_m * MT + i, q = tile / (CHANNELS / 16), c = tile % (CHANNELS / 16) * 16 + lane / 4;
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const float* row = inside[half] >> q & 1 ? x_now + (place[half] + q) * X_PITCH : shared;
                    a[i][half * 2] = __float_as_uint(row[c]);
                    a[i][half * 2 + 1] = __float_as_uint(row[c + 8]);
                }
            }
            if (bias_parts)
#pragma unroll
                for (int j = 0; j < NT; ++j) bias_sums[j] += __uint_as_float(b[j][0]) + __uint_as_float(b[j][1]);
            multiply_tiles<PRODUCTS>(now, a, b);
        }
        if (PRODUCTS == 3) add_tiles(sums, fresh);
        stage = stage == STAGES - 1 ? 0 : stage + 1;
    }

    // Into shared memory, one group after the other.
    wait_for_all_groups_but<0>();
    float* const bias_at = shared + KH * KW * CHANNELS * FILTERS;
#pragma unroll
    for (int j = 0; j < NT; ++j) {
        bias_sums[j] += __shfl_xor_sync(0xffffffffu, bias_sums[j], 1);
        bias_sums[j] += __shfl_xor_sync(0xffffffffu, bias_sums[j], 2);
    }
    for (int turn = 0; turn < GROUPS; ++turn) {
        __syncthreads();
        if (turn != group) continue;
#pragma unroll
        for (int i = 0; i < MT; ++i) {
            const int tile = warp_m * MT + i, q = tile / (CHANNELS / 16);
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int c = tile % (CHANNELS / 16) * 16 + half * 8 + lane / 4;
                float* const row = shared + ((tap_row * KW + q) * CHANNELS + c) * FILTERS;
#pragma unroll
                for (int j = 0; j < NT; ++j) {
                    float2* const to = (float2*)(row + (warp_n * NT + j) * 8 + lane % 4 * 2);
                    const float2 before = turn ? *to : make_float2(0, 0);
                    *to = make_float2(before.x + sums[i][j][half * 2], before.y + sums[i][j][half * 2 + 1]);
                }
            }
        }
        if (tap_row || warp_m || lane % 4) continue;
#pragma unroll
        for (int j = 0; j < NT; ++j) {
            float* const to = bias_at + (warp_n * NT + j) * 8 + lane / 4;
            *to = (turn ? *to : 0) + bias_sums[j];
        }
    }
    __syncthreads();
    const int first = first_stage * POSITIONS, end = min(positions, first + stages * POSITIONS);
    parts += (int64)blockIdx.y * KH * KW * g.channels * g.filters;
#pragma unroll 1
    for (int i = threadIdx.x; i < KH * KW * CHANNELS * FILTERS; i += THREADS) {
        const int f = i % FILTERS, c = i / FILTERS % CHANNELS, tap = i / (FILTERS * CHANNELS);
        if (f >= g.filters || c >= g.channels) continue;
        float sum = shared[i];
        if (!is_finite(sum)) sum = plain_sum(x, dy, g, tap / KW, tap % KW, c, f, first, end);
        parts[(tap * g.channels + c) * g.filters + f] = sum;
    }
    if (bias_parts && threadIdx.x < g.filters) bias_parts[(int64)blockIdx.y * g.filters + threadIdx.x] = bias_at[threadIdx.x];
}
