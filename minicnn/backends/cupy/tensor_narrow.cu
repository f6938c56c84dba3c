// Convolution of few channels on tensor cores: what tensor_convolution.cu computes, bit for bit, but for pooling.
//
// All weights of the BN columns fit into shared memory, if a slice of the terms holds all channels: each block brings them there
// once, split and in the order in which lanes need them, and then computes one tile of BM positions after the other. While
// it multiplies, the next tile's pixels are on their way; so nobody waits between the taps.

constexpr int BM = SIZE_0, BN = SIZE_1, WARPS = SIZE_2, SLICE = SIZE_5, KH = SIZE_6, KW = SIZE_7, PRODUCTS = SIZE_8;
constexpr bool LEAVES_MOMENTS = SIZE_9 == MOMENTS, LEAVES_SUMS = SIZE_9 == GRADIENT_SUMS, TURNED = SIZE_9 == 1 || LEAVES_SUMS;
constexpr int THREADS = WARPS * 32;
constexpr int MT = BM / WARPS / 16, NT = BN / 8;  // a warp computes MT x NT tiles of 16 x 8
constexpr int STEPS = SLICE / 8, PITCH = SLICE * 4 + 16;  // bytes of a pixel; an odd number of 16
constexpr int PIECE = PRODUCTS == 3 ? 4 : 2;              // words of a lane: two terms, and what rounding leaves over
constexpr int WEIGHTS = KH * KW * STEPS * NT * 32 * PIECE * 4;
static_assert(BM % (WARPS * 16) == 0 && SIZE_3 == 1, "sizes that the loops below can do");

// Blocks of a multiprocessor: one fewer where what is added up (LEAVES_SUMS) would not fit into registers.
#if SIZE_9 == 4 && __CUDA_ARCH__ >= 1000
#define BLOCKS SIZE_4 - 1
#else
#define BLOCKS SIZE_4
#endif
static_assert(GRADIENT_SUMS == 4, "as above");

// Grid: blocks that share the tiles of positions.
extern "C" __global__ void __launch_bounds__(SIZE_2 * 32, BLOCKS)
    convolve(const float* __restrict__ source, const float* __restrict__ kernel, const float* __restrict__ bias,
             float* __restrict__ out, const Convolution g,
             float* __restrict__ means, float* __restrict__ squares, float* __restrict__ counts, const Normalized of) {
    DYNAMIC_SHARED(unsigned char, shared);  // the weights, a row of zeros, two patches
    float* const weights = (float*)shared;
    const uint32 zeros = shared_address(shared) + WEIGHTS, patches = zeros + PITCH, patch_bytes = g.patch * PITCH;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int tiles = (g.rows + BM - 1) / BM;

    auto load_patch = [&](int tile, int stage) {
        const int first_pixel = first_pixel_of(g, place_of(g, tile * BM, 0, 0));
        Patch<THREADS, SLICE, PITCH>(g, source, first_pixel).load(patches + stage * patch_bytes, 0);
        return first_pixel;
    };
    int first_pixel = load_patch(blockIdx.x, 0);
    end_group();
    if (threadIdx.x < PITCH / 4) ((uint32*)(shared + WEIGHTS))[threadIdx.x] = 0;
#pragma unroll 6
    for (int i = threadIdx.x; i < WEIGHTS / (PIECE * 4); i += THREADS) {
        const int tap = i / (32 * NT * STEPS), term = i / (32 * NT) % STEPS * 8 + i % 4;
        const int n = i / 32 % NT * 8 + i % 32 / 4;
        const int used = g.first_tap + tap / KW * g.tap_row + tap % KW * g.tap_column;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int c = term + half * 4;
            const int at = TURNED ? (used * g.filters + n) * g.channels + c : (used * g.channels + c) * g.filters + n;
            uint32 big = __float_as_uint(n < g.filters && c < g.channels ? kernel[at] : 0.0f), small;
            leave_over(big, small);
            weights[i * PIECE + half] = __uint_as_float(big);
            if (PRODUCTS == 3) weights[i * PIECE + 2 + half] = __uint_as_float(small);
        }
    }

    const uint32 lane_row = lane / 16 * 16;  // bytes: lanes 16 to 31 point at the second half of the terms
    int stage = 0;
    RowSums<NT> result_sums;
    GradientSums<NT> gradient_sums;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        wait_for_all_groups_but<0>();
        __syncthreads();
        int next_pixel = 0;
        if (tile + gridDim.x < tiles) next_pixel = load_patch(tile + gridDim.x, 1 - stage);
        end_group();
        int pixel[MT];
        uint32 inside[MT];
        const int my_row = tile * BM + warp * (MT * 16);
#pragma unroll
        for (int i = 0; i < MT; ++i)
            pixel[i] = pixel_under(g, place_of(g, my_row + i * 16 + lane % 16, 0, 0), first_pixel, inside[i]);

        const uint32 patch = patches + stage * patch_bytes;
        float sums[MT][NT][4] = {};
#pragma unroll 1
        for (int p = 0; p < KH; ++p) {
#pragma unroll
            for (int q = 0; q < KW; ++q) {
                const int tap = p * KW + q;
                uint32 rows[MT];
#pragma unroll
                for (int i = 0; i < MT; ++i)
                    rows[i] = (inside[i] >> tap & 1 ? patch + (pixel[i] + p * g.width + q) * PITCH : zeros) + lane_row;
                const float* const mine = weights + (tap * (STEPS * NT * 32) + lane) * PIECE;
                float fresh[MT][NT][4] = {};
                auto& now = PRODUCTS == 3 ? fresh : sums;
#pragma unroll
                for (int k = 0; k < STEPS; ++k) {
                    uint32 a[MT][4], small_a[MT][4];
#pragma unroll
                    for (int i = 0; i < MT; ++i) {
                        load_matrices(rows[i] + k * 32, a[i][0], a[i][1], a[i][2], a[i][3]);
#pragma unroll
                        for (int e = 0; e < 4; ++e) leave_over(a[i][e], small_a[i][e]);
                    }
#pragma unroll
                    for (int j = 0; j < NT; ++j) {
                        const float* const piece = mine + (k * NT + j) * (32 * PIECE);
                        uint32 b[2], small_b[2];
                        if constexpr (PRODUCTS == 3) {
                            const float4 v = *(const float4*)piece;
                            b[0] = __float_as_uint(v.x), b[1] = __float_as_uint(v.y);
                            small_b[0] = __float_as_uint(v.z), small_b[1] = __float_as_uint(v.w);
#pragma unroll
                            for (int i = 0; i < MT; ++i) multiply(now[i][j], small_a[i], b);
#pragma unroll
                            for (int i = 0; i < MT; ++i) multiply(now[i][j], a[i], small_b);
                        } else {
                            const float2 v = *(const float2*)piece;
                            b[0] = __float_as_uint(v.x), b[1] = __float_as_uint(v.y);
                        }
#pragma unroll
                        for (int i = 0; i < MT; ++i) multiply(now[i][j], a[i], b);
                    }
                }
                if (PRODUCTS == 3) add_tiles(sums, fresh);
            }
        }

        // This lane has, of each 16 x 8 tile, columns 2 (lane % 4) and the next one of rows lane / 4 and lane / 4 + 8.
        const int my_column = lane % 4 * 2, result_row = my_row + lane / 4;
        const bool finite = are_finite(sums);
        if (!finite) {
            write_plain<TURNED>(source, kernel, bias, out, nullptr, g, MT * NT * 4, [&](int t, int& m, int& n) {
                m = result_row + t / (NT * 4) * 16 + t / 2 % 2 * 8, n = my_column + t / 4 % NT * 8 + t % 2;
                return true;
            });
            if (LEAVES_MOMENTS || LEAVES_SUMS) read_back(sums, out, g, result_row, my_column);
        }
        if constexpr (LEAVES_SUMS) gradient_sums.add(sums, 0, my_row, 0, of, g, out);
#pragma unroll
        for (int j = 0; j < NT; ++j) {
            const int n = my_column + j * 8;
            if (LEAVES_SUMS || !finite || n >= g.filters) continue;
            const float bias_0 = bias ? bias[n] : 0, bias_1 = bias ? bias[n + 1] : 0;
#pragma unroll
            for (int t = 0; t < MT * 2; ++t) {
                const int m = result_row + t * 8;
                if (m >= g.rows) continue;
                float(&four)[4] = sums[t / 2][j];
                const float y_0 = four[t % 2 * 2] = activate(four[t % 2 * 2] + bias_0, g.relu);
                const float y_1 = four[t % 2 * 2 + 1] = activate(four[t % 2 * 2 + 1] + bias_1, g.relu);
                *(float2*)(out + (int64)m * g.filters + n) = make_float2(y_0, y_1);
            }
        }
        if constexpr (LEAVES_MOMENTS) result_sums.add(sums, 0, my_row, g.rows);
        first_pixel = next_pixel, stage = 1 - stage;
    }
    if constexpr (LEAVES_MOMENTS) {
        __syncthreads();  // others may still read the weights
        result_sums.template put<WARPS, BN>(weights, warp, 0);
        __syncthreads();
        write_moments<WARPS, BN>({means, squares, counts}, weights, blockIdx.x, 0, g.filters);
    }
    if constexpr (LEAVES_SUMS) {
        __syncthreads();
        gradient_sums.template put<BN>(weights, warp, 0);
        __syncthreads();
        write_gradient_sums<WARPS, BN>(means, squares, weights, blockIdx.x, 0, g.filters);
    }
}
