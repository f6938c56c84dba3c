// Weights as hopper_convolution.cu takes them: rounded, with what that leaves over, in the order in which a step needs them,
// so that a step's weights are one copy. One launch prepares those of many kernels.

constexpr int SLICE = 32;  // terms of a step

// The power of two that brings all weights of a column into the range of halves: all[i] is the largest one of terms i, i + SLICE, ….
__device__ __forceinline__ float scale_of_column(const float (&all)[SLICE + 1], float& inverse) {
    float largest = 0;
#pragma unroll
    for (int term = 0; term < SLICE; ++term) largest = fmaxf(largest, all[term]);
    return scale_for(largest, inverse);
}

// (taps, C, F) -> (tiles of columns, slices of the terms, taps, bytes of a step); zeros where there is no such term or column.
// Grid: of each entry, slices times eights of columns, which are neighbours; a thread has a column and a term.
__device__ __forceinline__ void prepare(const ManyWeights& all) {
    const Weights w = all.of[entry_of_block(all)];
    const float* const kernel = reinterpret_cast<const float*>(w.kernel);
    const int tiles = (w.filters + w.columns - 1) / w.columns, eights = tiles * (w.columns / 8);
    const int eight = (blockIdx.x - w.block) % eights, slice = (blockIdx.x - w.block) / eights;
    // Neighbouring threads: neighbouring filters.
    const int term = w.turned ? threadIdx.x % 32 : threadIdx.x / 8, c = slice * SLICE + term;
    const int column = eight * 8 + (w.turned ? threadIdx.x / 32 : threadIdx.x % 8);
    // Floats of a step: the rounded weights, two in one if they have 16 bits, and what rounding leaves over.
    const bool is_halves = w.products == HALVES, is_short = w.products == BFLOAT16 || is_halves;
    const int part = w.columns * SLICE / (is_short ? 2 : 1), step = part * (w.products == 3 || is_halves ? 2 : 1);
    const int in_tile = column % w.columns;
    float* to = reinterpret_cast<float*>(w.prepared) + ((int64)(column / w.columns) * w.slices + slice) * w.taps * step;
    // Of 16 bits, eight are in 16 bytes: bfloat16 in the order of `pair_up`.
    const int half = term / 8 * (w.columns * 8) + in_tile * 8 + (is_halves ? term % 8 : term % 4 * 2 + term / 4 % 2);
    if (!is_short) to += term / 4 * (w.columns * 4) + in_tile * 4 + term % 4;
    const auto weight = [&](int tap, int c) -> float {
        const float* const from = w.turned ? kernel + ((int64)(w.taps - 1 - tap) * w.filters + column) * w.channels + c
                                           : kernel + ((int64)tap * w.channels + c) * w.filters + column;
        return c < w.channels && column < w.filters ? *from : 0.0f;
    };
    __shared__ float largest[8][SLICE + 1];  // of a column's terms SLICE apart
    if (is_halves) {
        float mine = 0;
        for (int c = term; c < w.channels; c += SLICE)
#pragma unroll 4
            for (int tap = 0; tap < w.taps; ++tap) mine = fmaxf(mine, fabsf(weight(tap, c)));
        largest[column % 8][term] = mine;
    }
    __syncthreads();
    float scale = 1, inverse;
    if (is_halves) scale = scale_of_column(largest[column % 8], inverse);
    if (is_halves && slice == 0 && term == 0)  // behind the weights
        reinterpret_cast<float*>(w.prepared)[(int64)tiles * w.slices * w.taps * step + column] = inverse;
#pragma unroll 4
    for (int tap = 0; tap < w.taps; ++tap) {
        uint32 big = __float_as_uint(weight(tap, c)), small;
        if (is_halves) {
            const float scaled = __uint_as_float(big) * scale;
            const uint32 rounded = two_halves(scaled, 0);
            ((unsigned short*)to)[half] = (unsigned short)rounded;
            ((unsigned short*)(to + part))[half] = (unsigned short)two_halves(scaled - low_half(rounded), 0);
        } else if (w.products == BFLOAT16) {
            ((unsigned short*)to)[half] = (unsigned short)pair_of_bfloat16(big, 0);
        } else {
            leave_over(big, small);
            to[0] = __uint_as_float(big);
            if (w.products == 3) to[part] = __uint_as_float(small);
        }
        to += step;
    }
}

extern "C" __global__ void __launch_bounds__(256) prepare_weights(const ManyWeights all) { prepare(all); }

// An iteration's first launch, in front of its graph: the weights as they are then, whoever wrote them, and its numbers.
extern "C" __global__ void __launch_bounds__(256)
    begin_iteration(double* rates, int64* counters, double rate, double learning_rate, int64 iteration, int64 start,
                    const ManyWeights all) {
    if (first_element() == 0) set_numbers(rates, counters, rate, learning_rate, iteration, start);
    prepare(all);
}
