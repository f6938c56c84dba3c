// What every kernel file starts with, behind the structures of structures.py. REAL, float or double, is given when the
// file is compiled.

typedef long long int64;
typedef unsigned int uint32;
typedef unsigned long long uint64;

// The index of this thread among all of a one-dimensional launch, and the number of them.
__device__ __forceinline__ int64 first_element() { return (int64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64 all_threads() { return (int64)gridDim.x * blockDim.x; }

// Of a block that adds up columns: channels side by side, and rows that are added side by side.
constexpr int LANES = 32, ROWS = 8;

// Each block adds up one stretch of rows for LANES channels: parts (gridDim.y, channels).
template <typename F>
__device__ __forceinline__ void sum_columns(REAL* parts, int64 rows, int channels, F term) {
    __shared__ REAL scratch[ROWS][LANES];
    const int lane = threadIdx.x % LANES, line = threadIdx.x / LANES, c = blockIdx.x * LANES + lane;
    const int64 stretch = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * stretch;
    const int64 end = first + stretch < rows ? first + stretch : rows;
    REAL sum = 0;
    if (c < channels)
        for (int64 row = first + line; row < end; row += ROWS) sum += term(row * channels + c, c);
    scratch[line][lane] = sum;
    __syncthreads();
    if (line == 0 && c < channels) {
        for (int other = 1; other < ROWS; ++other) sum += scratch[other][lane];
        parts[(int64)blockIdx.y * channels + c] = sum;
    }
    __syncthreads();  // before the scratch is used again
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
