// Convolutions of few channels, one image a block: forward with bias, ReLU and 2 x 2 pooling, which gathers the batch on
// its way, and the gradient of all that; without pooling, that of kernel and bias. Compiled for a size of the kernel
// (SIZE_0 x SIZE_1), and for filters of a thread and shares of the channels (forward: SIZE_2, SIZE_3), for the channels
// (backward: SIZE_2), or for channels, filters of a thread, most threads (without pooling: SIZE_2 to SIZE_4). float alone.
//
// An iteration of a small network is latency: every kernel takes whole images, has the sums of one image added up within
// a block, and leaves what has to be added over blocks to the optimizer's kernel. No atomics.

constexpr int KS = SIZE_0;
static_assert(SIZE_0 == SIZE_1 && KS * KS <= 32);

template <int COUNT>
struct __align__(COUNT * 4) Pack {
    float v[COUNT];
};

__device__ __forceinline__ int round_to_4(int n) { return (n + 3) / 4 * 4; }

// Copies that all run at once; `to` is aligned to 16 bytes.
__device__ __forceinline__ void copy_all(float* to, const float* from, int count) {
    if (count % 4 == 0 && (uint64)from % 16 == 0)
        for (int i = threadIdx.x * 4; i < count; i += blockDim.x * 4) copy_ahead_16(to + i, from + i);
    else
        for (int i = threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

// An image into shared memory, with a border of zeros.
__device__ __forceinline__ void load_tile(const float* image, const Few& g, float* tile) {
    if (!g.pad_top && !g.pad_left && g.tile_height == g.in_height && g.tile_width == g.in_width) {
        copy_all(tile, image, g.in_height * g.in_width * g.channels);
        return;
    }
    const int row = g.tile_width * g.channels;
    for (int i = threadIdx.x; i < g.tile_height * row; i += blockDim.x) {
        const int y = i / row - g.pad_top, x = i % row / g.channels - g.pad_left;
        const bool inside = y >= 0 && y < g.in_height && x >= 0 && x < g.in_width;
        tile[i] = inside ? image[(y * g.in_width + x) * g.channels + i % g.channels] : 0.0f;
    }
}

#ifdef SIZE_4  // ------------------------------------------------------------------------- the kernel's gradient alone

constexpr int C = SIZE_2, FG = SIZE_3, TAPS = KS * KS, AHEAD = KS < 5 ? 2 * KS : KS;
constexpr int ROWS_OF_TAPS = TAPS * C * FG <= 60 ? KS : 1;  // of a thread: all of them where there are registers

// What AHEAD positions of a row, `left` of which are there, pass on to FG filters: all of it, or what ReLU let through.
__device__ __forceinline__ void load_positions(const float* dy, const float* y, int64 at, int filters, int left,
                                               Pack<FG> (&to)[AHEAD]) {
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
        if (u >= left) continue;
        to[u] = *reinterpret_cast<const Pack<FG>*>(dy + at + u * filters);
        if (!y) continue;
        const Pack<FG> mask = *reinterpret_cast<const Pack<FG>*>(y + at + u * filters);
#pragma unroll
        for (int e = 0; e < FG; ++e) to[u].v[e] = mask.v[e] <= 0 ? 0.0f : to[u].v[e];
    }
}

// The gradients of kernel and bias of a convolution without pooling. Grid (images, shares of the rows). A thread: rows of
// taps, FG filters, every so-manieth row of positions; the pixels under its taps are a window of registers, which takes in
// a column for each position. Then the lines' sums are added in their order. parts: as of `backward`.
extern "C" __global__ void __launch_bounds__(SIZE_4)
    kernel_gradient(const float* __restrict__ x, const float* __restrict__ dy, const float* __restrict__ y,
                    float* __restrict__ parts, Few g) {
    DYNAMIC_SHARED(float, shared);  // the image, then the sums
    const int groups = g.filters / FG, lines = g.parts, f = threadIdx.x % groups * FG;
    constexpr int SHARES = KS / ROWS_OF_TAPS;  // of the taps
    const int p = threadIdx.x / groups % SHARES, line = threadIdx.x / (groups * SHARES), row = g.tile_width * C;
    const int end = g.out_height * (blockIdx.y + 1) / gridDim.y;
    load_tile(x + (int64)blockIdx.x * g.in_height * g.in_width * C, g, shared);
    wait_for_copies();
    __syncthreads();
    float sums[ROWS_OF_TAPS][KS][C][FG] = {}, bias_sums[FG] = {};
    for (int at_y = g.out_height * blockIdx.y / gridDim.y + line; line < lines && at_y < end; at_y += lines) {
        const int64 begin = ((int64)blockIdx.x * g.out_height + at_y) * g.out_width * g.filters + f;
        const float* const pixels = shared + (at_y + p) * row;
        float window[ROWS_OF_TAPS][KS][C];  // column x of the image: in place x % KS
#pragma unroll
        for (int k = 0; k < ROWS_OF_TAPS; ++k)
#pragma unroll
            for (int i = 0; i < (KS - 1) * C; ++i) window[k][i / C][i % C] = pixels[k * row + i];
        for (int at_x = 0; at_x < g.out_width; at_x += AHEAD) {
            Pack<FG> d[AHEAD];
            load_positions(dy, y, begin + (int64)at_x * g.filters, g.filters, g.out_width - at_x, d);
#pragma unroll
            for (int u = 0; u < AHEAD; ++u) {
                if (at_x + u >= g.out_width) continue;
#pragma unroll
                for (int k = 0; k < ROWS_OF_TAPS; ++k)
#pragma unroll
                    for (int c = 0; c < C; ++c)
                        window[k][(u + KS - 1) % KS][c] = pixels[k * row + (at_x + u + KS - 1) * C + c];
#pragma unroll
                for (int e = 0; e < FG; ++e) {
                    bias_sums[e] += d[u].v[e];
#pragma unroll
                    for (int k = 0; k < ROWS_OF_TAPS; ++k)
#pragma unroll
                        for (int q = 0; q < KS; ++q)
#pragma unroll
                            for (int c = 0; c < C; ++c)
                                sums[k][q][c][e] += d[u].v[e] * window[k][(u + q) % KS][c];
                }
            }
        }
    }
    __syncthreads();  // the image is not needed any more
    const int count = TAPS * C * g.filters, all = count + g.filters;
    float* const own = shared + line * all + f;
    if (line < lines) {
#pragma unroll
        for (int i = 0; i < ROWS_OF_TAPS * KS * C * FG; ++i)
            own[(p * KS * C + i / FG) * g.filters + i % FG] = sums[i / FG / C / KS][i / FG / C % KS][i / FG % C][i % FG];
        if (p == 0)
#pragma unroll
            for (int e = 0; e < FG; ++e) own[count + e] = bias_sums[e];
    }
    __syncthreads();
    parts += ((int64)blockIdx.x * gridDim.y + blockIdx.y) * all;
    for (int i = threadIdx.x; i < all; i += blockDim.x) {
        float sum = shared[i];
#pragma unroll 8
        for (int other = 1; other < lines; ++other) sum += shared[other * all + i];
        parts[i] = sum;
    }
}

#elif defined(SIZE_3)  // ----------------------------------------------------------------------------------- forward

constexpr int FG = SIZE_2, SHARE = SIZE_3;

// The maximum of a cell, or its four positions.
__device__ __forceinline__ void write_cell(const float (&sums)[4][FG], const float* bias, float* out,
                                           unsigned char* winner, int cell, int f, const Few& g) {
    float offset[FG];
#pragma unroll
    for (int e = 0; e < FG; ++e) offset[e] = bias ? bias[f + e] : 0.0f;
    if (!g.is_pooled) {
        const int y = cell / g.cells_width * 2, x = cell % g.cells_width * 2;
#pragma unroll
        for (int t = 0; t < 4; ++t) {
            if (y + t / 2 >= g.out_height || x + t % 2 >= g.out_width) continue;
            Pack<FG> pack;
#pragma unroll
            for (int e = 0; e < FG; ++e) {
                const float value = sums[t][e] + offset[e];
                pack.v[e] = g.relu && value < 0 ? 0.0f : value;
            }
            const int64 at = ((int64)blockIdx.x * g.out_height + y + t / 2) * g.out_width + x + t % 2;
            *reinterpret_cast<Pack<FG>*>(out + at * g.filters + f) = pack;
        }
        return;
    }
    const int64 at = ((int64)blockIdx.x * g.cells_height * g.cells_width + cell) * g.filters + f;
    Pack<FG> pack;
#pragma unroll
    for (int e = 0; e < FG; ++e) {
        float best = sums[0][e];
        unsigned char taken = 0;
#pragma unroll
        for (int t = 1; t < 4; ++t)
            if (sums[t][e] > best || (sums[t][e] != sums[t][e] && best == best)) {  // NaN beats every number
                best = sums[t][e];
                taken = t;
            }
        best += offset[e];
        if (winner) winner[at + e] = g.relu && best <= 0 ? 255 : taken;
        pack.v[e] = g.relu && best < 0 ? 0.0f : best;
    }
    *reinterpret_cast<Pack<FG>*>(out + at) = pack;
}

// Grid (images, filters / own). A thread: a cell, FG filters, one of SHARE shares of the channels; it reads the (KS + 1)^2
// pixels that the cell's positions see once per channel. With `order`, image n is the one numbered order[start + n], which
// is written to `gathered`; so is its label to `label_out`, if there are labels.
extern "C" __global__ void __launch_bounds__(512)
    forward(const float* __restrict__ source, const int64* __restrict__ order, const int64* __restrict__ start,
            float* __restrict__ gathered, const int64* __restrict__ labels, int64* __restrict__ label_out,
            const float* __restrict__ kernel, const float* __restrict__ bias, float* __restrict__ out,
            unsigned char* __restrict__ winner, Few g) {
    DYNAMIC_SHARED(float, shared);
    const int size = g.in_height * g.in_width * g.channels, first = blockIdx.y * g.own;
    const int count = KS * KS * g.channels * g.own, groups = g.own / FG;
    float *const tile = shared, *const weights = shared + round_to_4(g.tile_height * g.tile_width * g.channels);
    if (g.own == g.filters)
        copy_all(weights, kernel, count);
    else
        for (int i = threadIdx.x; i < count; i += blockDim.x) weights[i] = kernel[i / g.own * g.filters + first + i % g.own];
    int64 n = blockIdx.x;
    if (gathered) {
        n += *start;
        n = order ? order[n] : n;
    }
    source += n * size;
    load_tile(source, g, tile);
    if (gathered && blockIdx.y == 0) {
        for (int i = threadIdx.x; i < size; i += blockDim.x) gathered[(int64)blockIdx.x * size + i] = source[i];
        if (labels && threadIdx.x == 0) label_out[blockIdx.x] = labels[n];
    }
    wait_for_copies();
    __syncthreads();
    const int items = g.cells_height * g.cells_width * groups * SHARE, row = g.tile_width * g.channels;
    for (int item = threadIdx.x; item - (int)threadIdx.x % 32 < items; item += blockDim.x) {
        const int share = item % SHARE, at = min(item, items - 1) / SHARE, cell = at / groups, f = at % groups * FG;
        const float* const corner = tile + cell / g.cells_width * 2 * row + cell % g.cells_width * 2 * g.channels;
        float sums[4][FG] = {};
        for (int c = share; c < g.channels; c += SHARE) {
            float pixels[KS + 1][KS + 1];
#pragma unroll
            for (int y = 0; y <= KS; ++y)
#pragma unroll
                for (int x = 0; x <= KS; ++x) pixels[y][x] = corner[y * row + x * g.channels + c];
#pragma unroll
            for (int p = 0; p < KS; ++p)
#pragma unroll
                for (int q = 0; q < KS; ++q) {
                    const float* const from = weights + ((p * KS + q) * g.channels + c) * g.own + f;
                    const Pack<FG> weight = *reinterpret_cast<const Pack<FG>*>(from);
#pragma unroll
                    for (int e = 0; e < FG; ++e)
#pragma unroll
                        for (int t = 0; t < 4; ++t) sums[t][e] += weight.v[e] * pixels[p + t / 2][q + t % 2];
                }
        }
#pragma unroll
        for (int step = 1; step < SHARE; step *= 2)
#pragma unroll
            for (int t = 0; t < 4; ++t)
#pragma unroll
                for (int e = 0; e < FG; ++e) sums[t][e] += __shfl_xor_sync(0xffffffffu, sums[t][e], step);
        if (share == 0 && item < items) write_cell(sums, bias, out, winner, cell, first + f, g);
    }
}

#else  // ----------------------------------------------------------------------------------------------------- backward

constexpr int C = SIZE_2, TAPS = KS * KS;

// Where the gradients of an image's cells lie: the pixel of the winner in the tile, and the number, 0 where ReLU was off.
__device__ __forceinline__ void list_winners(const float* dy, const unsigned char* winner, int first, int own,
                                             const Few& g, int2* live) {
    const int64 begin = ((int64)blockIdx.x * g.cells_height * g.cells_width + first) * g.filters;
#pragma unroll 4
    for (int i = threadIdx.x; i < own * g.filters; i += blockDim.x) {
        const int cell = first + i / g.filters, taken = winner[begin + i];
        const int y = cell / g.cells_width * 2 + taken / 2 % 2, x = cell % g.cells_width * 2 + taken % 2;
        live[i] = make_int2((y * g.tile_width + x) * C, __float_as_int(taken == 255 ? 0.0f : dy[begin + i]));
    }
}

__device__ __forceinline__ bool is_not_finite(float value) { return !(fabsf(value) <= 3.402823466e38f); }

// The formula multiplies what is not finite by the zeros beside the winners, too, which makes NaN. `odd` is the length of
// a row of `sums`, (taps, channels, filters).
__device__ void multiply_by_zeros(const float* image, const float* dy, const unsigned char* winner, const Few& g,
                                  float* sums, int odd) {
    for (int i = threadIdx.x; i < TAPS * C * g.filters; i += blockDim.x) {
        const int f = i % g.filters, c = i / g.filters % C, tap = i / g.filters / C;
        for (int at = 0; at < g.out_height * g.out_width; ++at) {
            const int out_y = at / g.out_width, out_x = at % g.out_width;
            const int y = out_y + tap / KS - g.pad_top, x = out_x + tap % KS - g.pad_left;
            if (y < 0 || y >= g.in_height || x < 0 || x >= g.in_width) continue;
            const float value = image[(y * g.in_width + x) * C + c];
            if (!is_not_finite(value)) continue;
            const bool in_cell = out_y / 2 < g.cells_height && out_x / 2 < g.cells_width;
            const int64 cell = ((int64)blockIdx.x * g.cells_height + out_y / 2) * g.cells_width + out_x / 2;
            const bool is_winner = in_cell && winner[cell * g.filters + f] == out_y % 2 * 2 + out_x % 2;
            if (!is_winner || dy[cell * g.filters + f] == 0) sums[i / g.filters * odd + f] += 0.0f * value;
        }
    }
}

// One number in four of the gradient before pooling is not zero, so only the winners are walked through: a warp has one
// filter, and its lanes are the taps, and shares of the cells where the taps fill less than half a warp. Every warp has its
// own dx of the image, so that no two write to one number; they are added in their order.
// parts: (blocks, weights and then biases), to be added by the optimizer's kernel.
template <bool WITH_DX>
__device__ __forceinline__ void walk_winners(const float* __restrict__ x, const float* __restrict__ kernel,
                                             const float* __restrict__ dy, const unsigned char* __restrict__ winner,
                                             float* __restrict__ dx, float* __restrict__ parts, const Few& g) {
    DYNAMIC_SHARED(float, shared);
    constexpr int SHARES = WITH_DX ? 1 : 32 / TAPS;
    const int size = g.tile_height * g.tile_width * C, f_count = g.filters, cells = g.cells_height * g.cells_width;
    const int first = cells * blockIdx.y / gridDim.y, own = cells * (blockIdx.y + 1) / gridDim.y - first;
    const int count = TAPS * C * f_count, odd = f_count + 1, part_size = TAPS * C * odd + f_count;
    const int lane = threadIdx.x % 32, tap = lane % TAPS, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    float* const tile = shared;
    int2* const live = reinterpret_cast<int2*>(tile + round_to_4(size));
    float* const sums = reinterpret_cast<float*>(live + ((cells + gridDim.y - 1) / gridDim.y) * f_count);
    float* const copies = sums + round_to_4(g.parts * part_size);  // dx of each warp
    const float* const image = x + (int64)blockIdx.x * g.in_height * g.in_width * C;
    __shared__ int any_bad;

    load_tile(image, g, tile);  // is under way meanwhile
    if (threadIdx.x == 0) any_bad = 0;
    if (WITH_DX)
        for (int i = threadIdx.x; i < size * warps; i += blockDim.x) copies[i] = 0;
    list_winners(dy, winner, first, own, g, live);
    wait_for_copies();
    __syncthreads();

    const int offset = (tap / KS * g.tile_width + tap % KS) * C;
    const bool is_tap = lane < SHARES * TAPS;
    for (int item = warp; item < g.parts / SHARES * f_count; item += warps) {
        const int f = item % f_count, part = item / f_count * SHARES + min(lane / TAPS, SHARES - 1);
        float weights[C], weight_sums[C] = {}, bias_sum = 0;
#pragma unroll
        for (int c = 0; c < C; ++c) weights[c] = WITH_DX ? kernel[(tap * C + c) * f_count + f] : 0;
        const int end = own * (part + 1) / g.parts;
#pragma unroll 4
        for (int cell = own * part / g.parts; cell < end; ++cell) {
            const int2 one = live[cell * f_count + f];
            const float d = __int_as_float(one.y);
            if (WITH_DX && d == 0) continue;  // the whole warp agrees
            bias_sum += d;
#pragma unroll
            for (int c = 0; c < C; ++c) weight_sums[c] += d * tile[one.x + offset + c];
            if (WITH_DX) {
                float* const to = copies + warp * size + one.x + offset;
                if (is_tap)
#pragma unroll
                    for (int c = 0; c < C; ++c) to[c] += d * weights[c];
                __syncwarp();  // the next winner's taps may lie on the same pixels
            }
        }
        if (!is_tap) continue;
        float* const to = sums + part * part_size;
#pragma unroll
        for (int c = 0; c < C; ++c) to[(tap * C + c) * odd + f] = weight_sums[c];
        if (tap == 0) to[TAPS * C * odd + f] = bias_sum;
    }
    if (blockIdx.y == 0)
        for (int i = threadIdx.x; i < g.in_height * g.in_width * C; i += blockDim.x)
            if (is_not_finite(image[i])) any_bad = 1;
    __syncthreads();
    if (any_bad) {  // the whole block agrees
        multiply_by_zeros(image, dy, winner, g, sums, odd);
        __syncthreads();
    }
    parts += ((int64)blockIdx.x * gridDim.y + blockIdx.y) * (count + f_count);
    for (int i = threadIdx.x; i < count + f_count; i += blockDim.x) {
        const int at = i < count ? i / f_count * odd + i % f_count : i - count + TAPS * C * odd;
        float sum = sums[at];
        for (int part = 1; part < g.parts; ++part) sum += sums[part * part_size + at];
        parts[i] = sum;
    }
    if (!WITH_DX) return;
    const int row = g.in_width * C;
    for (int i = threadIdx.x; i < g.in_height * row; i += blockDim.x) {
        const int y = i / row + g.pad_top, x_ = i % row / C + g.pad_left;
        const bool inside = y < g.tile_height && x_ < g.tile_width;  // pixels behind the last cell have no gradient
        float sum = 0;
#pragma unroll 8
        for (int w = 0; inside && w < warps; ++w) sum += copies[w * size + (y * g.tile_width + x_) * C + i % C];
        dx[(int64)blockIdx.x * g.in_height * row + i] = sum;
    }
}

extern "C" __global__ void __launch_bounds__(512)
    backward(const float* __restrict__ x, const float* __restrict__ dy, const unsigned char* __restrict__ winner,
             float* __restrict__ parts, Few g) {
    walk_winners<false>(x, nullptr, dy, winner, nullptr, parts, g);
}
extern "C" __global__ void __launch_bounds__(512)
    backward_dx(const float* __restrict__ x, const float* __restrict__ kernel, const float* __restrict__ dy,
                const unsigned char* __restrict__ winner, float* __restrict__ dx, float* __restrict__ parts, Few g) {
    walk_winners<true>(x, kernel, dy, winner, dx, parts, g);
}
#endif
