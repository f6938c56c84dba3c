// The gradient of a convolution's kernel on the tensor cores of Hopper (sm_90a), stride 1: what tensor_gradient.cu computes, by
// instructions for four warps at a time that take dy from shared memory, and factors of 16 bits at twice the rate.
//
// x = big + small, two halves of 11 bits each, if a power of two brings x into their range: it is one for each channel of a
// stage of 32 positions, and for each filter; they are factors of a sum over positions, by which it is multiplied when it
// is added to the sums. So channels and filters of any size are served, and what lies no more than 2^17 below the largest of
// its channel, or filter, in one stage; below that digits are lost, of which one is 2^-39 of the largest. Sums with numbers of
// 2^60 or more are computed by float32's multiplications. PRODUCTS 3: float32's accuracy. Otherwise one product of the big
// halves, rounded to the nearest.
//
// The block's four warps have MT tiles of 64 x 64 sums; a warp has 16 rows of a tile: a tap, and 16 channels. x comes by
// pointers to pixels and by way of registers, transposed. While tensor cores work, the next stage, which waits in registers,
// is looked through for its largest elements and split.

constexpr int CHANNELS = SIZE_0, FILTERS = SIZE_1, KW = SIZE_5, PATCH = SIZE_6, PRODUCTS = SIZE_7;
constexpr int WARPS = 4, THREADS = WARPS * 32, POSITIONS = 32;
constexpr int MT = (KW * CHANNELS + 63) / 64, NT = FILTERS / 8;
constexpr int X_PITCH = CHANNELS * 4 + 16;  // bytes of a pixel: big halves, small ones; an odd number of 16
constexpr int X_LANES = CHANNELS / 4, X_LINES = THREADS / X_LANES, X_LOADS = (PATCH + X_LINES - 1) / X_LINES;
constexpr int DY_LOADS = POSITIONS / 8, EIGHT = FILTERS * 16;  // bytes of eight positions
constexpr int BIG_BYTES = POSITIONS / 8 * EIGHT, X_BYTES = X_LOADS * X_LINES * X_PITCH, DY_BYTES = 2 * BIG_BYTES;
constexpr int LARGEST = X_PITCH + 2 * (X_BYTES + DY_BYTES);  // where these begin in shared memory
static_assert(SIZE_2 == WARPS && SIZE_3 == 1 && FILTERS == 64 && CHANNELS % 16 == 0 && X_LANES <= 32 && MT > 1,
              "sizes that the loops below can do");

#ifndef CUDA_ON_HOST  // the tests' stand-in has its own
// What ordinary stores have written into shared memory becomes visible to tensor cores.
__device__ __forceinline__ void publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Four matrices of 8 rows of 8 halves, transposed: lane i gives the address of row i % 8 of matrix i / 8, and gets of each
// the halves of rows 2 (i % 4) and the next one, column i / 4.
__device__ __forceinline__ void load_transposed(uint32 address, uint32 (&a)[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
                 : "r"(address)
                 : "memory");
}

// sums (64 x 64) = a (64 x 16) * b (16 x 64) of halves, added to them if `add`, by four warps with 16 rows each, whose lanes
// hold a and the sums as in `multiply_bfloat16`. b is described: see `describe`.
__device__ __forceinline__ void multiply_halves(float (&sums)[8][4], const uint32 (&a)[4], uint64 b, int add) {
    PRODUCT_OF_64("k16.f32.f16.f16", ", 1");
}
#endif

// dy in shared memory: blocks of 8 positions x 8 filters, of which a position's are neighbours; those of the next filters lie
// 128 bytes further, those of the next positions EIGHT.
__device__ __forceinline__ uint64 describe(uint32 address) {
    return (uint64)(address >> 4 & 0x3fff) | (uint64)(EIGHT >> 4) << 16 | (uint64)8 << 32;
}

// The larger ones of four numbers so far, and the sizes of four others.
__device__ __forceinline__ void enlarge(float (&largest)[4], const float4& v) {
    largest[0] = fmaxf(largest[0], fabsf(v.x)), largest[1] = fmaxf(largest[1], fabsf(v.y));
    largest[2] = fmaxf(largest[2], fabsf(v.z)), largest[3] = fmaxf(largest[3], fabsf(v.w));
}

__device__ __forceinline__ void correlate_share(const float* __restrict__ x, const float* __restrict__ dy,
                                                float* __restrict__ parts, float* __restrict__ bias_parts,
                                                const Correlation& g, uint32 block, uint32 split_number) {
    DYNAMIC_SHARED(unsigned char, shared);  // a row of zeros, two stages of x, two of dy
    unsigned char *const x_halves = shared + X_PITCH, *const dy_halves = x_halves + 2 * X_BYTES;
    float* const largest_x = (float*)(shared + LARGEST);        // (WARPS, CHANNELS): of a warp's pixels
    float* const inverse_x = largest_x + WARPS * CHANNELS;      // (2, CHANNELS): of the scales of a stage
    float* const inverse_dy = inverse_x + 2 * CHANNELS;         // (2, FILTERS)
    uint32* const places = (uint32*)(inverse_dy + 2 * FILTERS);  // (2, POSITIONS): pixel << 8 | which taps are inside

    const int tiles_f = (g.filters + FILTERS - 1) / FILTERS, tiles_c = (g.channels + CHANNELS - 1) / CHANNELS;
    const int filter = block % tiles_f * FILTERS, channel = block / tiles_f % tiles_c * CHANNELS;
    const int tap_row = block / tiles_f / tiles_c;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int positions = g.images * g.out_height * g.out_width;
    const uint32 pixels = g.images * g.height * g.width;
    const int first_stage = split_number * g.stages_per_split;
    const int stages = min(g.stages_per_split, (positions + POSITIONS - 1) / POSITIONS - first_stage);

    // The pixel under the first tap of position m, and where it lies.
    auto pixel_of = [&](int m, int& y, int& left) {
        const int line = divide(m, g.width_magic, g.width_shift), image = divide(m, g.image_magic, g.image_shift);
        y = line - image * g.out_height + tap_row - g.pad_top;
        left = m - line * g.out_width - g.pad_left;
        return (image * g.height + y) * g.width + left;
    };
    // x: threads side by side have a pixel's channels. dy: a warp has 8 positions (lane / 2 % 8) of 16 filters.
    const int x_line = threadIdx.x / X_LANES, x_channel = threadIdx.x % X_LANES * 4;
    const int dy_line = lane / 2 % 8, dy_filter = warp * 16 + lane / 16 * 8 + lane % 2 * 4;
    const bool is_channel = channel + x_channel < g.channels, is_filter = filter + dy_filter < g.filters;
    float4 held_x[X_LOADS], held_dy[DY_LOADS];
    auto load = [&](int number) {
        if (number >= stages) return;
        const int m = (first_stage + number) * POSITIONS;
        int y, left;
        const int first = pixel_of(m, y, left) + x_line;
        const float* from = x + (int64)first * g.channels + channel + x_channel;
#pragma unroll
        for (int i = 0; i < X_LOADS; ++i) {
            const bool inside = is_channel && (uint32)(first + i * X_LINES) < pixels;
            held_x[i] = inside ? *(const float4*)(from + i * X_LINES * g.channels) : make_float4(0, 0, 0, 0);
        }
        from = dy + (int64)(m + dy_line) * g.filters + filter + dy_filter;
#pragma unroll
        for (int i = 0; i < DY_LOADS; ++i) {
            const bool inside = is_filter && m + dy_line + i * 8 < positions;
            held_dy[i] = inside ? *(const float4*)(from + i * 8 * g.filters) : make_float4(0, 0, 0, 0);
        }
    };
    // The largest of each channel in this warp's part of the stage that is held, and of its filters, which nobody else has.
    float largest_dy[4], bias_sums[4] = {};
    auto look = [&]() {
        float largest[4] = {};
#pragma unroll
        for (int i = 0; i < X_LOADS; ++i) enlarge(largest, held_x[i]);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            largest_dy[e] = 0;
#pragma unroll
            for (int other = X_LANES; other < 32; other *= 2)
                largest[e] = fmaxf(largest[e], __shfl_xor_sync(0xffffffffu, largest[e], other));
        }
        if (lane < X_LANES)
            *(float4*)(largest_x + warp * CHANNELS + x_channel) =
                make_float4(largest[0], largest[1], largest[2], largest[3]);
#pragma unroll
        for (int i = 0; i < DY_LOADS; ++i) {
            const float4 v = held_dy[i];
            enlarge(largest_dy, v);
            bias_sums[0] += v.x, bias_sums[1] += v.y, bias_sums[2] += v.z, bias_sums[3] += v.w;
        }
#pragma unroll
        for (int e = 0; e < 4; ++e)
#pragma unroll
            for (int other = 2; other < 16; other *= 2)
                largest_dy[e] = fmaxf(largest_dy[e], __shfl_xor_sync(0xffffffffu, largest_dy[e], other));
    };
    // Splits the stage that is held, and writes the inverses of its scales.
    auto halve = [&](int number) {
        const int odd = number % 2;
        float largest[4] = {}, scale[4], inverse[4];
#pragma unroll
        for (int w = 0; w < WARPS; ++w) enlarge(largest, *(const float4*)(largest_x + w * CHANNELS + x_channel));
#pragma unroll
        for (int e = 0; e < 4; ++e) scale[e] = scale_for(largest[e], inverse[e]);
        if (x_line == 0)
            *(float4*)(inverse_x + odd * CHANNELS + x_channel) = make_float4(inverse[0], inverse[1], inverse[2], inverse[3]);
        unsigned char* to = x_halves + odd * X_BYTES + x_line * X_PITCH + x_channel * 2;
#pragma unroll
        for (int i = 0; i < X_LOADS; ++i) split<PRODUCTS == 3>(held_x[i], scale, to + i * (X_LINES * X_PITCH), CHANNELS * 2);
#pragma unroll
        for (int e = 0; e < 4; ++e) scale[e] = scale_for(largest_dy[e], inverse[e]);
        if (dy_line == 0)
            *(float4*)(inverse_dy + odd * FILTERS + dy_filter) = make_float4(inverse[0], inverse[1], inverse[2], inverse[3]);
        to = dy_halves + odd * DY_BYTES + dy_filter / 8 * 128 + dy_line * 16 + lane % 2 * 8;
#pragma unroll
        for (int i = 0; i < DY_LOADS; ++i) split<PRODUCTS == 3>(held_dy[i], scale, to + i * EIGHT, BIG_BYTES);
        publish();
    };
    // Where the positions of a stage lie: lane i of the last warp tells of position i.
    auto tell_places = [&](int number) {
        if (warp < WARPS - 1) return;
        const int m = (first_stage + number) * POSITIONS + lane;
        int y, left;
        const int pixel = pixel_of(m, y, left);
        uint32 inside = 0;
#pragma unroll
        for (int q = 0; q < KW; ++q) inside |= (uint32)((uint32)(left + q) < g.width) << q;
        if (m >= positions || (uint32)y >= g.height) inside = 0;
        places[number % 2 * POSITIONS + lane] = (uint32)(pixel - __shfl_sync(0xffffffffu, pixel, 0)) << 8 | inside;
    };

    for (int i = threadIdx.x; i < X_PITCH / 4; i += THREADS) ((uint32*)shared)[i] = 0;
    load(0);
    look();
    tell_places(0);
    __syncthreads();
    halve(0);
    load(1);
    __syncthreads();

    float sums[MT][NT][4] = {}, now[NT][4];
    // This lane's part of the addresses of pixels: a position, and eight channels of its warp's sixteen.
    const int lane_position = lane % 8 + lane / 16 * 8, lane_channel = lane / 8 % 2 * 8;
    for (int number = 0; number < stages; ++number) {
        const int odd = number % 2;
        const uint32 x_at = shared_address(x_halves) + odd * X_BYTES, dy_at = shared_address(dy_halves) + odd * DY_BYTES;
        uint32 place[2];
#pragma unroll
        for (int k = 0; k < 2; ++k) place[k] = places[odd * POSITIONS + k * 16 + lane_position];
        const bool more = number + 1 < stages;
#pragma unroll
        for (int i = 0; i < MT; ++i) {
            const int tile = i * WARPS + warp, q = tile / (CHANNELS / 16), c = tile % (CHANNELS / 16) * 16;
            uint32 big[2][4], small[2][4];
#pragma unroll
            for (int k = 0; k < 2; ++k) {
                const bool inside = q < KW && (place[k] >> q & 1);
                const uint32 row = inside ? x_at + ((place[k] >> 8) + q) * X_PITCH : shared_address(shared);
                load_transposed(row + (c + lane_channel) * 2, big[k]);
                if (PRODUCTS == 3) load_transposed(row + (CHANNELS + c + lane_channel) * 2, small[k]);
            }
            begin_products();
#pragma unroll
            for (int k = 0; k < 2; ++k) {
                const uint64 big_dy = describe(dy_at + k * (2 * EIGHT));
                if constexpr (PRODUCTS == 3) {
                    multiply_halves(now, small[k], big_dy, k);  // the first one starts from zero
                    multiply_halves(now, big[k], describe(dy_at + BIG_BYTES + k * (2 * EIGHT)), 1);
                }
                multiply_halves(now, big[k], big_dy, PRODUCTS == 3 ? 1 : k);
            }
            end_products();
            if (i == 0) {
                if (more) {
                    look();
                    tell_places(number + 1);
                }
                __syncthreads();  // what all warps have found
            }
            if (i == 1 && more) {
                halve(number + 1);
                load(number + 2);
            }
            wait_for_products_but<0>();
            const float* const of_rows = inverse_x + odd * CHANNELS + c + lane / 4;
            const float rows[2] = {of_rows[0], of_rows[8]};
#pragma unroll
            for (int j = 0; j < NT; ++j) {
                const float2 columns = *(const float2*)(inverse_dy + odd * FILTERS + j * 8 + lane % 4 * 2);
#pragma unroll
                for (int e = 0; e < 4; ++e) sums[i][j][e] += now[j][e] * rows[e / 2] * (e % 2 ? columns.y : columns.x);
            }
        }
        __syncthreads();
    }

    parts += (int64)split_number * g.kernel_height * KW * g.channels * g.filters;
    const bool finite = are_finite(sums);
    const int first = first_stage * POSITIONS, end = min(positions, first + stages * POSITIONS);
#pragma unroll
    for (int i = 0; i < MT; ++i) {
        const int tile = i * WARPS + warp, q = tile / (CHANNELS / 16);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int c = channel + tile % (CHANNELS / 16) * 16 + half * 8 + lane / 4;
            if (!finite || q >= KW || c >= g.channels) continue;
            float* const row = parts + ((int64)(tap_row * KW + q) * g.channels + c) * g.filters;
#pragma unroll
            for (int j = 0; j < NT; ++j) {
                const int f = filter + j * 8 + lane % 4 * 2;
                if (f < g.filters) *(float2*)(row + f) = make_float2(sums[i][j][half * 2], sums[i][j][half * 2 + 1]);
            }
        }
    }
#pragma unroll 1
    for (int t = 0; !finite && t < MT * NT * 4; ++t) {
        const int tile = t / (NT * 4) * WARPS + warp, q = tile / (CHANNELS / 16);
        const int c = channel + tile % (CHANNELS / 16) * 16 + t / 2 % 2 * 8 + lane / 4;
        const int f = filter + t / 4 % NT * 8 + lane % 4 * 2 + t % 2;
        if (q < KW && c < g.channels && f < g.filters)
            parts[((int64)(tap_row * KW + q) * g.channels + c) * g.filters + f] =
                plain_sum(x, dy, g, tap_row, q, c, f, first, end);
    }
    if (bias_parts && tap_row == 0 && channel == 0) {
#pragma unroll
        for (int e = 0; e < 4; ++e)
#pragma unroll
            for (int other = 2; other < 16; other *= 2)
                bias_sums[e] += __shfl_xor_sync(0xffffffffu, bias_sums[e], other);
        if (dy_line == 0 && is_filter)
            *(float4*)(bias_parts + (int64)split_number * g.filters + filter + dy_filter) =
                make_float4(bias_sums[0], bias_sums[1], bias_sums[2], bias_sums[3]);
    }
}
