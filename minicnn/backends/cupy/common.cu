// What every kernel file starts with. REAL, float or double, is given when the file is compiled.

typedef long long int64;
typedef unsigned int uint32;
typedef unsigned long long uint64;

// Four neighbouring elements: one access of 16 bytes for float, two for double.
struct __align__(16) Four {
    REAL x, y, z, w;
};

// A window that slides over images: minicnn.geometry.Window in numbers.
struct Window {
    int in_height, in_width, out_height, out_width;
    int kernel_height, kernel_width, stride_y, stride_x, dilation_y, dilation_x, pad_top, pad_left;
};

// The index of this thread among all of a one-dimensional launch, and the number of them.
__device__ __forceinline__ int64 first_element() { return (int64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64 all_threads() { return (int64)gridDim.x * blockDim.x; }

__device__ __forceinline__ bool is_finite(REAL x) { return x - x == 0; }

// Sums over the threads of a block in a fixed order: a tree. Every thread gets the result.
// `scratch` has blockDim.x elements, a power of two.
template <typename T>
__device__ T block_sum(T value, T* scratch) {
    scratch[threadIdx.x] = value;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
        __syncthreads();
    }
    const T total = scratch[0];
    __syncthreads();  // before the caller uses the scratch again
    return total;
}

// The sum of element i of `count` parts, in an order that depends on `count` alone, by a block of 32 x lines threads: 32
// elements side by side, every line its share of the parts. Threads of line 0 get the result; all threads must call it.
__device__ __forceinline__ REAL sum_of_parts(const REAL* parts, int count, int64 stride, int64 i, bool inside) {
    __shared__ REAL scratch[32][32];
    const int lane = threadIdx.x % 32, line = threadIdx.x / 32, lines = blockDim.x / 32;
    REAL sum = 0;
    if (inside)
        for (int part = line; part < count; part += lines) sum += parts[part * stride + i];
    scratch[line][lane] = sum;
    __syncthreads();
    if (line == 0)
        for (int other = 1; other < lines; ++other) sum += scratch[other][lane];
    __syncthreads();  // before the scratch is used again
    return sum;
}

// Random numbers as minicnn.random.uniform draws them: element i is word i % 4 of block i / 4. Philox4x32-10 (Salmon,
// Moraes, Dror, Shaw, 2011) with counter (block, stream, step) and the seed as key.
__device__ __forceinline__ void philox(int64 block, uint32 stream, uint64 step, uint64 seed, uint32 (&words)[4]) {
    words[0] = (uint32)block, words[1] = stream, words[2] = (uint32)step, words[3] = (uint32)(step >> 32);
    uint32 key_0 = (uint32)seed, key_1 = (uint32)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const uint64 product_0 = (uint64)0xD2511F53u * words[0], product_1 = (uint64)0xCD9E8D57u * words[2];
        words[0] = (uint32)(product_1 >> 32) ^ words[1] ^ key_0;
        words[1] = (uint32)product_1;
        words[2] = (uint32)(product_0 >> 32) ^ words[3] ^ key_1;
        words[3] = (uint32)product_0;
        key_0 += 0x9E3779B9u;
        key_1 += 0xBB67AE85u;
    }
}

// A word as a number in [0, 1), a multiple of 2^-24.
__device__ __forceinline__ float random_number(uint32 word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }
