// Convolution on tensor cores, float32, images (N, H, W, C), kernels (taps, C, F); TURNED: the gradient of its input, which
// is the convolution of dy with the taps in reverse order, whose terms are filters; where there are strides, several such
// convolutions, of which a block takes its part (see `part_of`).
//
// A block computes BM positions x BN columns. The pixels that these positions see, through all taps, are one stretch of
// memory (a "patch"). It is brought into shared memory once for each SLICE of the terms and then used by every tap: a row
// of the left factor is just a pointer to a pixel, and to a row of zeros where the tap falls outside the image. So there is
// no padding, and an element is loaded once instead of once a tap. The weights come in stages of one tap's slice, two
// stages ahead. A thread's sums of one column are whole windows of 2 x 2 where the result is pooled.

constexpr int BM = SIZE_0, BN = SIZE_1, WARPS_M = SIZE_2, WARPS_N = SIZE_3, SLICE = SIZE_5, PRODUCTS = SIZE_6;
constexpr bool IN_PARTS = SIZE_7 == 2, LEAVES_MOMENTS = SIZE_7 == MOMENTS, LEAVES_SUMS = SIZE_7 == GRADIENT_SUMS;
constexpr bool TURNED = SIZE_7 == 1 || IN_PARTS || LEAVES_SUMS;
constexpr int THREADS = WARPS_M * WARPS_N * 32;
constexpr int MT = BM / WARPS_M / 16, NT = BN / WARPS_N / 8;  // a warp computes MT x NT tiles of 16 x 8
constexpr int PITCH = SLICE * 4 + 16;  // bytes of a pixel; an odd number of 16: eight rows lie in different banks
// A stage of the weights holds rows as they lie in memory: forward a term's filters, turned a column's terms.
constexpr int STAGES = 3, WEIGHT_ROWS = TURNED ? BN : SLICE, ROW_LENGTH = TURNED ? SLICE : BN;
constexpr int WEIGHT_PITCH = ROW_LENGTH * 4 + (TURNED ? 16 : 32);  // bytes; forward: four rows of eight lie in 32 banks
constexpr int STAGE = WEIGHT_ROWS * WEIGHT_PITCH;
constexpr int PIECES = ROW_LENGTH / 4, ROWS_AT_ONCE = THREADS / PIECES;
constexpr int LOADS = (WEIGHT_ROWS + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
static_assert(THREADS % PIECES == 0 && NT % 2 == 0 && MT % 2 == 0, "sizes that the loops below can do");

// The position of a row of the tile.
__device__ __forceinline__ Place place_of_row(const Convolution& g, int tile, int row) {
    if (!g.pool) return place_of(g, tile * BM + row, 0, 0);
    const int in_warp = row % (MT * 16);  // rows 8 apart are neighbours
    return place_of(g, tile * (BM / 4) + row / (MT * 16) * (MT * 4) + in_warp / 32 * 8 + in_warp % 8, in_warp / 16 % 2,
                    in_warp / 8 % 2);
}

// The row of the result that sums of this thread's tile i belong to: a window, or the position of the upper or lower half.
__device__ __forceinline__ int window_of(int tile, int warp, int i) {
    return tile * (BM / 4) + warp * (MT * 4) + i / 2 * 8 + threadIdx.x % 32 / 4;
}
__device__ __forceinline__ int position_of(int tile, int warp, int i, int half) {
    return tile * BM + (warp * MT + i) * 16 + half * 8 + threadIdx.x % 32 / 4;
}

// Grid: tiles of columns, which are neighbours, times tiles of positions.
extern "C" __global__ void __launch_bounds__(SIZE_2 * SIZE_3 * 32, SIZE_4)
    convolve(const float* __restrict__ source, const float* __restrict__ kernel, const float* __restrict__ bias,
             float* __restrict__ out, unsigned char* __restrict__ winner, const Convolution whole,
             float* __restrict__ means, float* __restrict__ squares, float* __restrict__ counts, const Normalized of) {
    const int tiles_n = (whole.filters + BN - 1) / BN;
    const int tiles = tiles_n * ((whole.rows + BM - 1) / BM);
    const int block = IN_PARTS ? blockIdx.x % tiles : blockIdx.x;
    const Convolution g = IN_PARTS ? part_of(whole, blockIdx.x / tiles) : whole;
    // The stages of the weights, a row of zeros, two patches.
    DYNAMIC_SHARED(unsigned char, shared);
    const uint32 stages = shared_address(shared), zeros = stages + STAGES * STAGE, patches = zeros + PITCH;
    const uint32 patch_bytes = g.patch * PITCH;

    const int tile_m = block / tiles_n, column = block % tiles_n * BN;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warp_m = warp % WARPS_M, warp_n = warp / WARPS_M;
    const int taps = g.kernel_height * g.kernel_width;

    // Weights: this thread's pieces of a stage lie in rows ROWS_AT_ONCE apart; taps follow each other, then slices.
    const int weight_row = threadIdx.x / PIECES, weight_piece = threadIdx.x % PIECES * 4;
    const int row_stride = TURNED ? g.channels : g.filters, matrix = g.channels * g.filters;
    const int tap_stride = matrix * g.tap_column, line_stride = matrix * (g.tap_row - g.tap_column * g.kernel_width);
    const uint32 weights_to = stages + weight_row * WEIGHT_PITCH + weight_piece * 4;
    const float* weights_at = kernel + (int64)g.first_tap * matrix + weight_piece +
                              (TURNED ? (int64)(column + weight_row) * row_stride : (int64)weight_row * row_stride + column);
    int coming_slice = 0, coming_tap = 0, coming_column = 0;
    auto load_weights = [&](int stage) {
        const int first = coming_slice * SLICE, terms = g.channels - first, columns = g.filters - column;
        if (coming_slice < g.slices) {
            const int rows = weight_piece < (TURNED ? terms : columns) ? (TURNED ? columns : terms) - weight_row : 0;
#pragma unroll
            for (int i = 0; i < LOADS; ++i) {
                const bool inside = i * ROWS_AT_ONCE < rows;
                if (WEIGHT_ROWS % ROWS_AT_ONCE == 0 || weight_row + i * ROWS_AT_ONCE < WEIGHT_ROWS)
                    copy_in_group(weights_to + stage * STAGE + i * (ROWS_AT_ONCE * WEIGHT_PITCH),
                                  inside ? weights_at + (int64)i * ROWS_AT_ONCE * row_stride : kernel, inside);
            }
        }
        weights_at += tap_stride;
        if (IN_PARTS && ++coming_column == g.kernel_width) coming_column = 0, weights_at += line_stride;
        if (++coming_tap == taps) {
            weights_at += (TURNED ? SLICE : SLICE * g.filters) - (int64)g.kernel_height * matrix * g.tap_row;
            coming_tap = 0, ++coming_slice;
        }
    };

    const int first_pixel = first_pixel_of(g, place_of_row(g, tile_m, 0));
    const Patch<THREADS, SLICE, PITCH> patch(g, source, first_pixel);
    auto load_patch = [&](int slice) { patch.load(patches + slice % 2 * patch_bytes, slice); };
    if (!IN_PARTS || g.slices) load_patch(0);
    if (threadIdx.x < PITCH / 4) ((uint32*)(shared + STAGES * STAGE))[threadIdx.x] = 0;
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; ++stage) {
        load_weights(stage);
        end_group();
    }

    // For each of this lane's rows: the patch's pixel under the first tap, and which taps lie inside the image.
    const uint32 lane_row = lane / 16 * 16;  // bytes: lanes 16 to 31 point at the second half of the terms
    int pixel[MT];
    uint32 inside[MT];
#pragma unroll
    for (int i = 0; i < MT; ++i) {
        pixel[i] = pixel_under(g, place_of_row(g, tile_m, (warp_m * MT + i) * 16 + lane % 16), first_pixel, inside[i]);
    }

    float sums[MT][NT][4] = {};
    int stage = 0;
    for (int slice = 0; slice < g.slices; ++slice) {
        int shift = 0, column_tap = 0;
        for (int tap = 0; tap < taps; ++tap) {
            if (taps >= STAGES - 1)
                wait_for_all_groups_but<STAGES - 2>();
            else
                wait_for_all_groups_but<0>();
            __syncthreads();
            load_weights(stage == 0 ? STAGES - 1 : stage - 1);  // where the step before had its own
            if (tap == 0 && slice + 1 < g.slices) load_patch(slice + 1);
            end_group();
            const uint32 patch_at = patches + slice % 2 * patch_bytes + lane_row + shift * PITCH;
            uint32 rows[MT];
#pragma unroll
            for (int i = 0; i < MT; ++i) rows[i] = inside[i] >> tap & 1 ? patch_at + pixel[i] * PITCH : zeros + lane_row;
            const uint32 turned = stages + stage * STAGE + (warp_n * NT * 8 + lane % 8 + lane / 16 * 8) * WEIGHT_PITCH +
                                  lane / 8 % 2 * 16;
            const float* const straight = (const float*)(shared + stage * STAGE + lane % 4 * WEIGHT_PITCH) +
                                          warp_n * NT * 8 + lane / 4;
            float fresh[MT][NT][4] = {};
            auto& now = PRODUCTS == 3 ? fresh : sums;
            multiply_eights<PRODUCTS, SLICE / 8>(now, [&](int k, uint32 (&a)[MT][4], uint32 (&b)[NT][2]) {
#pragma unroll
                for (int i = 0; i < MT; ++i) load_matrices(rows[i] + k * 32, a[i][0], a[i][1], a[i][2], a[i][3]);
                if constexpr (TURNED) {
#pragma unroll
                    for (int j = 0; j < NT; j += 2)
                        load_matrices(turned + j * 8 * WEIGHT_PITCH + k * 32, b[j][0], b[j][1], b[j + 1][0], b[j + 1][1]);
                } else {
#pragma unroll
                    for (int j = 0; j < NT; ++j)
#pragma unroll
                        for (int half = 0; half < 2; ++half)
                            b[j][half] = __float_as_uint(straight[(k * 8 + half * 4) * (WEIGHT_PITCH / 4) + j * 8]);
                }
            });
            if (PRODUCTS == 3) add_tiles(sums, fresh);
            stage = stage == STAGES - 1 ? 0 : stage + 1;
            ++shift;
            if (++column_tap == g.kernel_width) column_tap = 0, shift += g.width - g.kernel_width;
        }
    }

    // This lane has, of each 16 x 8 tile, columns 2 (lane % 4) and the next one of rows lane / 4 and lane / 4 + 8.
    const int my_column = column + warp_n * NT * 8 + lane % 4 * 2;
    const bool finite = are_finite(sums);
    if (!finite) {
        write_plain<TURNED>(source, kernel, bias, out, winner, g, MT * NT * 4, [&](int t, int& m, int& n) {
            const int i = t / (NT * 4), half = t / 2 % 2;
            m = g.pool ? window_of(tile_m, warp_m, i) : position_of(tile_m, warp_m, i, half);
            n = my_column + t / 4 % NT * 8 + t % 2;
            return !g.pool || (half == 0 && i % 2 == 0);
        });
        if (!LEAVES_MOMENTS && !LEAVES_SUMS) return;
        read_back(sums, out, g, position_of(tile_m, warp_m, 0, 0), my_column);
    }
    if constexpr (LEAVES_SUMS) {
        leave_gradient_sums<WARPS_M, BN>(of, means, squares, (float*)shared, sums, g, out, warp_m,
                                         tile_m * BM + warp_m * (MT * 16), warp_n * NT * 8, tile_m, column);
        return;
    }
#pragma unroll
    for (int j = 0; j < NT; ++j) {
        const int n = my_column + j * 8;
        if (n >= g.filters || (LEAVES_MOMENTS && !finite)) continue;
        const float bias_0 = bias ? bias[n] : 0, bias_1 = bias ? bias[n + 1] : 0;
#pragma unroll
        for (int i = 0; i < MT; i += 2) {
            if (g.pool) {
                const int m = window_of(tile_m, warp_m, i);
                if (m >= g.rows) continue;
                const int64 at = (int64)m * g.filters + n;
                const float first[4] = {sums[i][j][0], sums[i][j][2], sums[i + 1][j][0], sums[i + 1][j][2]};
                const float second[4] = {sums[i][j][1], sums[i][j][3], sums[i + 1][j][1], sums[i + 1][j][3]};
                unsigned char taken_0, taken_1;
                const float y_0 = pooled(first, bias_0, g.relu, taken_0), y_1 = pooled(second, bias_1, g.relu, taken_1);
                *(float2*)(out + at) = make_float2(y_0, y_1);
                if (winner) *(unsigned short*)(winner + at) = taken_0 | taken_1 << 8;
                continue;
            }
#pragma unroll
            for (int t = 0; t < 4; ++t) {
                const int m = position_of(tile_m, warp_m, i + t / 2, t % 2), row = IN_PARTS ? row_of_out(g, m) : m;
                if (m >= g.rows || row < 0) continue;
                float(&pair)[4] = sums[i + t / 2][j];
                const float y_0 = pair[t % 2 * 2] = activate(pair[t % 2 * 2] + bias_0, g.relu);
                const float y_1 = pair[t % 2 * 2 + 1] = activate(pair[t % 2 * 2 + 1] + bias_1, g.relu);
                *(float2*)(out + (int64)row * g.filters + n) = make_float2(y_0, y_1);
            }
        }
    }
    if constexpr (LEAVES_MOMENTS)
        leave_moments<WARPS_M, BN>({means, squares, counts}, (float*)shared, sums, warp_m,
                                   tile_m * BM + warp_m * (MT * 16), g.rows, warp_n * NT * 8, tile_m, column, g.filters);
}
