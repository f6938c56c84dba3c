// Convolution of stride 1 on the tensor cores of Hopper (sm_90a): what tensor_convolution.cu computes, from patches of pixels
// as there, by instructions that take the weights from shared memory by themselves ("wgmma") for four warps at a time. The
// pixels still come by pointers, by way of registers. The weights are prepared before, by the kernel of prepared_weights.cu, so
// that a step's weights are one copy.
//
// PRODUCTS: as in tensor_cores.cu; HALVES are those of halves.cu, of which an instruction takes twice as many: the 32 terms of a
// pixel share a power of two, and all weights of a column. Pixels are split once, on their way into shared memory, and come
// through registers.
//
// A block computes BM positions x BN columns, a warp 16 positions. Two halves of a step's columns take turns: while tensor
// cores multiply for one, the other's results are added to the sums, and the next step's pixels come into registers.

constexpr int BM = SIZE_0, BN = SIZE_1, WARPS = SIZE_2, SLICE = SIZE_5, PRODUCTS = SIZE_6;
constexpr bool LEAVES_MOMENTS = SIZE_7 == MOMENTS, LEAVES_SUMS = SIZE_7 == GRADIENT_SUMS, TURNED = SIZE_7 == 1 || LEAVES_SUMS;
constexpr int THREADS = WARPS * 32;
constexpr int HALF = BN / 2, HT = HALF / 8, NT = BN / 8;  // columns; tiles of 16 x 8
constexpr int PITCH = SLICE * 4 + 16;                      // bytes of a pixel; an odd number of 16
constexpr bool IN_HALVES = PRODUCTS == HALVES, IN_THREE = PRODUCTS == 3 || IN_HALVES;
constexpr int TERMS = PRODUCTS == BFLOAT16 || IN_HALVES ? 16 : 8;  // of an instruction: 32 bytes
constexpr int STAGES = 4, PART = BN * SLICE / TERMS * 32;  // of weights; bytes of the rounded ones, or what they leave over
constexpr int STAGE = PART * (IN_THREE ? 2 : 1);
static_assert(BM == WARPS * 16 && WARPS % 4 == 0 && SIZE_3 == 1 && SLICE == 32 && (HALF == 32 || HALF == 64),
              "sizes that the loops below can do");

#ifndef CUDA_ON_HOST  // the tests' stand-in has its own
// A barrier in shared memory that counts the bytes of copies, and its phases: 0, 1, 0, ….
__device__ __forceinline__ void start_barrier(uint32 barrier) {
    asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(barrier) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void copy_in_bulk(uint32 to, const void* from, uint32 bytes, uint32 barrier) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 ::"r"(to), "l"(from), "r"(bytes), "r"(barrier)
                 : "memory");
}
__device__ __forceinline__ void wait_for_copy(uint32 barrier, uint32 phase) {
    asm volatile("{\n.reg .pred done;\nagain:\n"
                 "mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n@!done bra again;\n}"
                 ::"r"(barrier), "r"(phase)
                 : "memory");
}

// sums (64 x 2 * WIDTH) = a (64 x 8) * b (8 x 2 * WIDTH), added to them if `add`, by four warps with 16 rows each, whose
// lanes hold a and the sums as in `multiply` of tensor_cores.cu. b is described: see `describe`. Between begin_products and
// end_products; nobody may touch sums or a until they were waited for.
__device__ __forceinline__ void multiply_group(float (&sums)[4][4], const uint32 (&a)[4], uint64 b, int add) {
    PRODUCT_OF_32("k8.f32.tf32.tf32", "");
}
__device__ __forceinline__ void multiply_group(float (&sums)[8][4], const uint32 (&a)[4], uint64 b, int add) {
    PRODUCT_OF_64("k8.f32.tf32.tf32", "");
}
// The same of 16 terms: halves, or bfloat16, which are always added. Lanes are those of `multiply_bfloat16`.
__device__ __forceinline__ void multiply_group_halves(float (&sums)[4][4], const uint32 (&a)[4], uint64 b, int add) {
    PRODUCT_OF_32("k16.f32.f16.f16", ", 0");
}
__device__ __forceinline__ void multiply_group_halves(float (&sums)[8][4], const uint32 (&a)[4], uint64 b, int add) {
    PRODUCT_OF_64("k16.f32.f16.f16", ", 0");
}
__device__ __forceinline__ void multiply_group_bfloat16(float (&sums)[4][4], const uint32 (&a)[4], uint64 b) {
    constexpr int add = 1;
    PRODUCT_OF_32("k16.f32.bf16.bf16", ", 0");
}
__device__ __forceinline__ void multiply_group_bfloat16(float (&sums)[8][4], const uint32 (&a)[4], uint64 b) {
    constexpr int add = 1;
    PRODUCT_OF_64("k16.f32.bf16.bf16", ", 0");
}
#endif

// Weights in shared memory: blocks of 8 columns x 16 bytes of terms; those of the next terms lie BN * 16 bytes further,
// those of the next columns 128.
__device__ __forceinline__ uint64 describe(uint32 address) {
    return (uint64)(address >> 4 & 0x3fff) | (uint64)BN << 16 | (uint64)8 << 32;
}

// Row m of the result that row `row` of the tile belongs to. The rows of a window are two neighbours, and those 8 further.
__device__ __forceinline__ int row_of_result(const Convolution& g, int tile, int row) {
    return g.pool ? tile * (BM / 4) + row / 16 * 4 + row % 8 / 2 : tile * BM + row;
}
__device__ __forceinline__ Place place_of_row(const Convolution& g, int tile, int row) {
    return place_of(g, row_of_result(g, tile, row), g.pool ? row / 8 % 2 : 0, g.pool ? row % 2 : 0);
}

// As `Patch`, of halves: AT_ONCE lines of pixels are fetched, and put into shared memory with their scales' inverses.
struct PatchOfHalves {
    static constexpr int LANES_OF_PIXEL = SLICE / 4, LINES = THREADS / LANES_OF_PIXEL, AT_ONCE = 2;
    const Convolution& g;
    const float* source_at;
    int my_pixel, my_channel, pixels, parts;  // that exist; fetches of a slice
    float4 held[AT_ONCE];

    __device__ __forceinline__ PatchOfHalves(const Convolution& g, const float* source, int first_pixel) : g(g) {
        my_pixel = threadIdx.x / LANES_OF_PIXEL, my_channel = threadIdx.x % LANES_OF_PIXEL * 4;
        pixels = min(g.patch, g.images * g.height * g.width - first_pixel) - my_pixel;
        parts = (g.patch + AT_ONCE * LINES - 1) / (AT_ONCE * LINES);
        source_at = source + (int64)(first_pixel + my_pixel) * g.channels + my_channel;
    }

    __device__ __forceinline__ void fetch(int slice, int part) {
        const int first = part * (AT_ONCE * LINES);
        const float* const at = source_at + slice * SLICE + (int64)first * g.channels;
        const int limit = slice * SLICE + my_channel < g.channels ? pixels - first : 0;
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i)
            held[i] = i * LINES < limit ? *(const float4*)(at + i * LINES * g.channels) : make_float4(0, 0, 0, 0);
    }

    __device__ __forceinline__ void put(unsigned char* patch, float* inverses, int part) const {
        float largest[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            largest[i] = fmaxf(fmaxf(fabsf(held[i].x), fabsf(held[i].y)), fmaxf(fabsf(held[i].z), fabsf(held[i].w)));
#pragma unroll
            for (int other = 1; other < LANES_OF_PIXEL; other *= 2)
                largest[i] = fmaxf(largest[i], __shfl_xor_sync(0xffffffffu, largest[i], other));
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            const int pixel = my_pixel + (part * AT_ONCE + i) * LINES;
            if (pixel >= g.patch) continue;
            float inverse;
            const float scale = scale_for(largest[i], inverse), scales[4] = {scale, scale, scale, scale};
            split<true>(held[i], scales, patch + pixel * PITCH + my_channel * 2, SLICE * 2);
            if (my_channel == 0) inverses[pixel] = inverse;
        }
    }
};

// A slice of the terms of this warp's positions under a tap; what rounding leaves over; of halves, the inverses of the scales of
// this lane's two rows.
struct Pixels {
    uint32 big[SLICE / TERMS][4], small[IN_THREE ? SLICE / TERMS : 1][4];
    float rows[2];

    __device__ __forceinline__ void load(uint32 row) {
#pragma unroll
        for (int k = 0; k < SLICE / TERMS; ++k) {
            const uint32 at = row + k * (IN_HALVES ? 32 : TERMS * 4);
            load_matrices(at, big[k][0], big[k][1], big[k][2], big[k][3]);
            if constexpr (IN_HALVES) {
                load_matrices(at + SLICE * 2, small[k][0], small[k][1], small[k][2], small[k][3]);
                continue;
            }
            if constexpr (PRODUCTS == BFLOAT16) {
                uint32 next[4];
                load_matrices(at + 32, next[0], next[1], next[2], next[3]);
                pair_up(big[k], next);
                continue;
            }
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if constexpr (PRODUCTS == 3)
                    leave_over(big[k][e], small[k][e]);
                else if constexpr (PRODUCTS == 1)
                    big[k][e] = round_to_tf32(big[k][e]);
        }
    }
};

__device__ __forceinline__ void multiply_terms(float (&now)[HT][4], const uint32 (&a)[4], uint64 b, int add) {
    if constexpr (IN_HALVES)
        multiply_group_halves(now, a, b, add);
    else if constexpr (PRODUCTS == BFLOAT16)
        multiply_group_bfloat16(now, a, b);
    else
        multiply_group(now, a, b, add);
}

// Start the products of a step for one half of the columns, whose weights lie there.
__device__ __forceinline__ void start_products(float (&now)[HT][4], const Pixels& pixels, uint32 weights) {
    begin_products();
#pragma unroll
    for (int k = 0; k < SLICE / TERMS; ++k) {
        const uint64 big = describe(weights + k * (BN * 32));
        if constexpr (IN_THREE) {
            multiply_terms(now, pixels.small[k], big, k);  // the first one starts from zero
            multiply_terms(now, pixels.big[k], describe(weights + PART + k * (BN * 32)), 1);
        }
        multiply_terms(now, pixels.big[k], big, 1);
    }
    end_products();
}

__device__ __forceinline__ void add_half(float (&sums)[NT][4], const float (&now)[HT][4], const Pixels& pixels, int half) {
#pragma unroll
    for (int j = 0; j < HT; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[half * HT + j][e] += IN_HALVES ? now[j][e] * pixels.rows[e / 2] : now[j][e];
}

// Sums of halves, times the inverses of the scales of their columns, which lie there.
__device__ __forceinline__ void scale_columns(float (&sums)[NT][4], const float* inverses) {
#pragma unroll
    for (int j = 0; j < NT; ++j) {
        const float2 columns = *(const float2*)(inverses + j * 8);
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[j][e] *= e % 2 ? columns.y : columns.x;
    }
}

// Sums of two columns and two rows of windows become those of one column and four: the lane of the other rows gets the rest.
__device__ __forceinline__ void gather_windows(float (&sums)[NT][4], bool is_right) {
#pragma unroll
    for (int j = 0; j < NT; ++j)
#pragma unroll
        for (int e = 0; e < 4; e += 2) {
            const float own = sums[j][e + is_right], other = __shfl_xor_sync(0xffffffffu, sums[j][e + !is_right], 4);
            sums[j][e] = is_right ? other : own, sums[j][e + 1] = is_right ? own : other;
        }
}

// Grid: tiles of columns, which are neighbours, times tiles of positions.
extern "C" __global__ void __launch_bounds__(SIZE_2 * 32, SIZE_4)
    convolve(const float* __restrict__ source, const float* __restrict__ kernel, const float* __restrict__ prepared,
             const float* __restrict__ bias, float* __restrict__ out, unsigned char* __restrict__ winner,
             const Convolution g,
             float* __restrict__ means, float* __restrict__ squares, float* __restrict__ counts, const Normalized of) {
    // The stages of the weights, a row of zeros, two patches, the stages' barriers; of halves, the inverses of the pixels' scales.
    DYNAMIC_SHARED(unsigned char, shared);
    const uint32 stages = shared_address(shared), zeros = stages + STAGES * STAGE, patches = zeros + PITCH;
    const uint32 patch_bytes = g.patch * PITCH, barriers = patches + 2 * patch_bytes;
    unsigned char* const patch_memory = shared + STAGES * STAGE + PITCH;
    float* const inverses = (float*)(patch_memory + 2 * patch_bytes + STAGES * 8);  // (2, pixels of a patch)

    const int tiles_n = (g.filters + BN - 1) / BN;
    const int tile_m = blockIdx.x / tiles_n, column = blockIdx.x % tiles_n * BN;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int taps = g.kernel_height * g.kernel_width, steps = g.slices * taps;

    const float* const weights = prepared + (int64)(blockIdx.x % tiles_n) * steps * (STAGE / 4);
    auto load_weights = [&](int step, int stage) {
        if (threadIdx.x == 0 && step < steps)
            copy_in_bulk(stages + stage * STAGE, weights + (int64)step * (STAGE / 4), STAGE, barriers + stage * 8);
    };
    const int first_pixel = first_pixel_of(g, place_of_row(g, tile_m, 0));
    const Patch<THREADS, SLICE, PITCH> patch(g, source, first_pixel);
    auto load_patch = [&](int slice) { patch.load(patches + slice % 2 * patch_bytes, slice); };
    PatchOfHalves halves(g, source, first_pixel);
    const int parts_of_step = (halves.parts + taps - 1) / taps;
    auto put = [&](int slice, int part) {
        halves.put(patch_memory + slice % 2 * patch_bytes, inverses + slice % 2 * g.patch, part);
    };
    if constexpr (IN_HALVES) {
        for (int part = 0; part < halves.parts; ++part) {
            halves.fetch(0, part);
            put(0, part);
        }
    } else {
        load_patch(0);
        end_group();
    }
    if (threadIdx.x < PITCH / 4) ((uint32*)(shared + STAGES * STAGE))[threadIdx.x] = 0;
    if (threadIdx.x == 0)
        for (int stage = 0; stage < STAGES; ++stage) start_barrier(barriers + stage * 8);
    __syncthreads();
    for (int stage = 0; stage < STAGES - 1; ++stage) load_weights(stage, stage);

    // Of this lane's row: the patch's pixel under the first tap, and which taps lie inside the image. Lanes 16 to 31 point at
    // the second half of the terms.
    const uint32 lane_row = lane / 16 * 16;
    uint32 inside;
    const int pixel = pixel_under(g, place_of_row(g, tile_m, warp * 16 + lane % 16), first_pixel, inside);
    auto load_pixels = [&](Pixels& to, int slice, int tap, int shift) {
        const uint32 at = patches + slice % 2 * patch_bytes + (pixel + shift) * PITCH;
        const bool is_inside = inside >> tap & 1;
        to.load((is_inside ? at : zeros) + lane_row);
        if constexpr (IN_HALVES) {
            const float mine = is_inside ? inverses[slice % 2 * g.patch + pixel + shift] : 0.0f;
            to.rows[0] = __shfl_sync(0xffffffffu, mine, lane / 4), to.rows[1] = __shfl_sync(0xffffffffu, mine, lane / 4 + 8);
        }
    };

    float sums[NT][4] = {}, first[HT][4] = {}, second[HT][4] = {};
    int slice = 0, tap = 0, shift = 0, column_tap = 0, stage = 0;
    auto one_step = [&](int step, const Pixels& mine, Pixels& other) {  // `other`: of the step before, then of the next
        const bool is_last_tap = tap + 1 == taps;
        const bool more = slice + 1 < g.slices;
        int part = tap * parts_of_step;
        const int last_part = more ? min(halves.parts, part + parts_of_step) : 0;
        if constexpr (IN_HALVES) {
            if (part < last_part) halves.fetch(slice + 1, part);
        } else {
            if (tap == 0 && more) load_patch(slice + 1);
            end_group();
        }
        const uint32 at = stages + stage * STAGE;
        start_products(first, mine, at);
        wait_for_products_but<1>();
        if (IN_THREE && step) add_half(sums, second, other, 1);
        start_products(second, mine, at + HALF * 16);
        if constexpr (IN_HALVES) {
            if (part < last_part) put(slice + 1, part);
            while (++part < last_part) {
                halves.fetch(slice + 1, part);
                put(slice + 1, part);
            }
        } else {
            if (is_last_tap) wait_for_all_groups_but<0>();
        }
        const int next = stage == STAGES - 1 ? 0 : stage + 1;
        if (step + 1 < steps) {
            wait_for_copy(barriers + next * 8, (step + 1) / STAGES % 2);
            __syncthreads();
            load_weights(step + STAGES - 1, stage == 0 ? STAGES - 1 : stage - 1);  // where the step before had its own
            ++shift, ++tap;
            if (++column_tap == g.kernel_width) column_tap = 0, shift += g.width - g.kernel_width;
            if (is_last_tap) ++slice, tap = shift = column_tap = 0;
            load_pixels(other, slice, tap, shift);
        }
        stage = next;
        wait_for_products_but<1>();
        if (IN_THREE) add_half(sums, first, mine, 0);
    };
    Pixels even, odd;
    if (!IN_HALVES) wait_for_all_groups_but<0>();
    wait_for_copy(barriers, 0);
    __syncthreads();
    load_pixels(even, 0, 0, 0);
    auto is_last = [&](int step, const Pixels& pixels) {  // with one way out for both, the compiler would wait after every product
        if (step + 1 < steps) return false;
        wait_for_products_but<0>();
        add_half(sums, second, pixels, 1);
        return true;
    };
    for (int step = 0;; step += 2) {
        one_step(step, even, odd);
        if (is_last(step, even)) break;
        one_step(step + 1, odd, even);
        if (is_last(step + 1, odd)) break;
    }
    if (!IN_THREE) add_half(sums, first, even, 0);
    if constexpr (IN_HALVES)
        scale_columns(sums, prepared + (int64)tiles_n * steps * (STAGE / 4) + column + lane % 4 * 2);

    // This lane has, of each 16 x 8 tile, columns 2 (lane % 4) and the next one of rows lane / 4 and lane / 4 + 8; of windows
    // one of these columns.
    const bool is_right = !LEAVES_MOMENTS && g.pool && lane / 4 % 2;
    if (!LEAVES_MOMENTS && g.pool) gather_windows(sums, is_right);
    const int my_column = column + lane % 4 * 2 + is_right, my_row = warp * 16 + lane / 4;
    float(&all_sums)[1][NT][4] = *(float(*)[1][NT][4])&sums;
    const bool finite = are_finite(all_sums);
    if (!finite) {
        write_plain<TURNED>(source, kernel, bias, out, winner, g, NT * 4, [&](int t, int& m, int& n) {
            m = row_of_result(g, tile_m, my_row + t / 2 % 2 * 8), n = my_column + t / 4 * 8 + t % 2;
            return !g.pool || t % 4 == 0;
        });
        if (!LEAVES_MOMENTS && !LEAVES_SUMS) return;
        read_back(all_sums, out, g, tile_m * BM + my_row, my_column);
    }
    if constexpr (LEAVES_SUMS) {
        leave_gradient_sums<WARPS, BN>(of, means, squares, (float*)shared, all_sums, g, out, warp, tile_m * BM + warp * 16, 0,
                                       tile_m, column);
        return;
    }
#pragma unroll
    for (int j = 0; j < NT; ++j) {
        const int n = my_column + j * 8;
        if (n >= g.filters || (LEAVES_MOMENTS && !finite)) continue;
        if (!LEAVES_MOMENTS && g.pool) {
            const int m = row_of_result(g, tile_m, my_row);
            if (m >= g.rows) continue;
            const int64 at = (int64)m * g.filters + n;
            unsigned char taken;
            out[at] = pooled(sums[j], bias ? bias[n] : 0, g.relu, taken);
            if (winner) winner[at] = taken;
            continue;
        }
        const float bias_0 = bias ? bias[n] : 0, bias_1 = bias ? bias[n + 1] : 0;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int m = row_of_result(g, tile_m, my_row + half * 8);
            if (m >= g.rows) continue;
            const float y_0 = activate(sums[j][half * 2] + bias_0, g.relu);
            const float y_1 = activate(sums[j][half * 2 + 1] + bias_1, g.relu);
            if (LEAVES_MOMENTS) sums[j][half * 2] = y_0, sums[j][half * 2 + 1] = y_1;
            *(float2*)(out + (int64)m * g.filters + n) = make_float2(y_0, y_1);
        }
    }
    if constexpr (LEAVES_MOMENTS)
        leave_moments<WARPS, BN>({means, squares, counts}, (float*)shared, all_sums, warp, tile_m * BM + warp * 16, g.rows,
                                 0, tile_m, column, g.filters);
}
