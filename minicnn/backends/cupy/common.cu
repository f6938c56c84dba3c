// What every kernel file starts with, behind the structures of structures.py. REAL, float or double, is given when the
// file is compiled.

typedef long long int64;
typedef unsigned int uint32;
typedef unsigned long long uint64;

// The index of this thread among all of a one-dimensional launch, and the number of them.
__device__ __forceinline__ int64 first_element() { return (int64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64 all_threads() { return (int64)gridDim.x * blockDim.x; }

#ifndef CUDA_ON_HOST  // the tests' stand-in has its own
// Memory of the block whose size the launch says.
#define DYNAMIC_SHARED(type, name) extern __shared__ __align__(16) type name[]

// A copy of 16 aligned bytes, or of 4, into shared memory that needs no registers and is under way until
// `wait_for_copies`, after which a barrier is due; before sm_80 it is done at once.
__device__ __forceinline__ void copy_ahead_16(float* to, const float* from) {
#if __CUDA_ARCH__ >= 800
    const uint32 at = (uint32)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
#else
    *reinterpret_cast<float4*>(to) = *reinterpret_cast<const float4*>(from);
#endif
}
__device__ __forceinline__ void copy_ahead_4(float* to, const float* from) {
#if __CUDA_ARCH__ >= 800
    const uint32 at = (uint32)__cvta_generic_to_shared(to);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(at), "l"(from) : "memory");
#else
    *to = *from;
#endif
}
__device__ __forceinline__ void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}
#endif

// The numbers of the next iteration, where kernels read them; by one thread.
__device__ __forceinline__ void set_numbers(double* rates, int64* counters, double rate, double learning_rate,
                                            int64 iteration, int64 start) {
    rates[0] = rate;
    rates[1] = learning_rate;
    counters[0] = iteration;
    counters[1] = start;
}

// Of a block that adds up columns: channels side by side, and rows that are added side by side.
constexpr int LANES = 32, ROWS = 8;

// The rows of a part, if `rows` are cut into `count` of them: first … end - 1, none in the last ones if that is how it is.
__device__ __forceinline__ void rows_of_part(int part, int count, int64 rows, int64* first, int64* end) {
    const int64 stretch = (rows + count - 1) / count;
    *first = part * stretch < rows ? part * stretch : rows;
    *end = *first + stretch < rows ? *first + stretch : rows;
}

// Of a launch that serves many things, in the order of their blocks: the one that this block serves.
template <typename Many>
__device__ __forceinline__ int entry_of_block(const Many& all) {
    int low = 0, high = all.count;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (all.of[middle].block <= (int)blockIdx.x)
            low = middle;
        else
            high = middle;
    }
    return low;
}

// The sum of `count` terms, in an order that depends on `count` alone, by a block of 32 x lines threads: 32 sums side by
// side, every line its share of the terms. Every line gets the result; all threads must call it.
template <typename F>
__device__ __forceinline__ REAL sum_over_lines(int count, bool inside, F term) {
    __shared__ REAL scratch[32][32];
    const int lane = threadIdx.x % 32, line = threadIdx.x / 32, lines = blockDim.x / 32;
    REAL sum = 0;
    int i = inside ? line : count;
    for (; i + 7 * lines < count; i += 8 * lines) {  // eight loads are under way at once
        REAL terms[8];
#pragma unroll
        for (int k = 0; k < 8; ++k) terms[k] = term(i + k * lines);
#pragma unroll
        for (int k = 0; k < 8; ++k) sum += terms[k];
    }
    for (; i < count; i += lines) sum += term(i);
    scratch[line][lane] = sum;
    __syncthreads();
    sum = scratch[0][lane];
    for (int other = 1; other < lines; ++other) sum += scratch[other][lane];
    __syncthreads();  // before the scratch is used again
    return sum;
}

// The sum of element i of `count` parts; see `sum_over_lines`.
__device__ __forceinline__ REAL sum_of_parts(const REAL* parts, int count, int64 stride, int64 i, bool inside) {
    return sum_over_lines(count, inside, [&](int part) { return parts[part * stride + i]; });
}
