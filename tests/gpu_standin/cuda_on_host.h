// Runs CUDA kernels on the processor, one block after the other, so that they can be tested without a GPU.
//
// The threads of a block are fibers: each runs until it waits for its block or its warp or ends, then the next one runs,
// in an order that MINICNN_STANDIN_SEED shuffles, so that a missing barrier shows. A kernel without any needs no fibers,
// and its threads run in a plain loop. Dynamic shared memory holds NaN at first, and what an asynchronous copy will write
// something else that is noticed, until somebody waits for it. Speed and memory order are not modelled.
//
// Here is what kernels see; `cuda_on_host.cpp`, which is compiled once, runs them.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define CUDA_ON_HOST
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static  // blocks run one after the other
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__ __restrict

// In a kernel: memory of the block whose size the launch says.
#define DYNAMIC_SHARED(type, name) type* const name = reinterpret_cast<type*>(standin::shared_memory)

using std::exp;
using std::floor;
using std::log;
using std::max;
using std::min;
using std::sqrt;

#pragma GCC visibility push(hidden)  // each library has a state of its own, which it reaches at once

struct dim3 {
    unsigned x, y, z;
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

template <class To, class From>
inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}
inline float __int_as_float(unsigned bits) { return same_bits<float>(bits); }
inline int __float_as_int(float value) { return same_bits<int>(value); }
inline float __uint_as_float(unsigned bits) { return same_bits<float>(bits); }
inline unsigned __float_as_uint(float value) { return same_bits<unsigned>(value); }
inline unsigned __umulhi(unsigned a, unsigned b) { return uint64_t(a) * b >> 32; }
inline int __ffs(unsigned bits) { return __builtin_ffs(bits); }
template <class T>
inline void __stcs(T* to, T value) { *to = value; }

struct alignas(8) int2 {
    int x, y;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(4) uchar4 {
    unsigned char x, y, z, w;
};
inline int2 make_int2(int x, int y) { return {x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w) { return {x, y, z, w}; }

namespace standin {

constexpr size_t MOST_SHARED = 232448, GUARD = 64;  // bytes; behind what a launch asked for lies a pattern
alignas(128) extern unsigned char shared_memory[MOST_SHARED + GUARD];
constexpr size_t MOST_EXCHANGED = 128;
alignas(16) extern unsigned char exchanged[32][2][32][MOST_EXCHANGED];  // (warp, turn, lane, bytes)

inline unsigned thread_of_block() { return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x; }

// Every lane's value of the warp, after all of them have given theirs.
template <class T>
inline const T& of_lane(unsigned warp, unsigned turn, unsigned lane) {
    return *reinterpret_cast<const T*>(exchanged[warp][turn % 2][lane]);
}

// Give the warp a value and wait until all lanes have given theirs; returns the turn, for `of_lane`.
unsigned meet_warp(const void* value, size_t size);
template <class T>
inline unsigned meet_warp(const T& value) {
    static_assert(sizeof(T) <= MOST_EXCHANGED);
    return meet_warp(&value, sizeof value);
}

// Run a function of the arguments in every thread of a grid: dims are those of the grid, of a block, and its shared memory.
void run_grid(void (*function)(void*), void* arguments, const unsigned* dims);

// What cuLaunchKernel does: arguments are given as pointers to their values.
template <class... A, size_t... I>
void launch(void (*kernel)(A...), const unsigned* dims, void** values, std::index_sequence<I...>) {
    auto thread = [=] { kernel(*static_cast<std::remove_cv_t<A>*>(values[I])...); };
    run_grid([](void* f) { (*static_cast<decltype(thread)*>(f))(); }, &thread, dims);
}

template <class... A>
void launch(void (*kernel)(A...), const unsigned* dims, void** values) {
    launch(kernel, dims, values, std::index_sequence_for<A...>{});
}

}  // namespace standin

void __syncthreads();

// --------------------------------------------------------------------------------------------------------------- warps

inline void __syncwarp() { standin::meet_warp(0); }

template <class T>
inline T __shfl_xor_sync(unsigned, T value, int step) {
    const unsigned t = standin::thread_of_block(), turn = standin::meet_warp(value);
    return standin::of_lane<T>(t / 32, turn, t % 32 ^ step);
}

template <class T>
inline T __shfl_sync(unsigned, T value, int lane) {
    const unsigned turn = standin::meet_warp(value);
    return standin::of_lane<T>(standin::thread_of_block() / 32, turn, lane);
}

inline unsigned __ballot_sync(unsigned, bool value) {
    const unsigned t = standin::thread_of_block(), turn = standin::meet_warp(value);
    unsigned bits = 0;
    for (unsigned lane = 0; lane < 32; ++lane) bits |= unsigned(standin::of_lane<bool>(t / 32, turn, lane)) << lane;
    return bits;
}

// ------------------------------------------------------------------------------------- asynchronous copies (common.cu)

void copy_ahead_16(float* to, const float* from);
void copy_ahead_4(float* to, const float* from);
void wait_for_copies();

// ----------------------------------------------------------------------------------------- tensor cores (tensor_cores.cu)

// Addresses in shared memory are offsets, as on a device, where they have 32 bits.
inline unsigned shared_address(const void* p) {
    return static_cast<unsigned>(static_cast<const unsigned char*>(p) - standin::shared_memory);
}

namespace standin {
void finish_copies(unsigned count);
}

void copy_in_group(unsigned to, const float* from, bool inside);
void end_group();
template <int COUNT>
inline void wait_for_all_groups_but() {
    standin::finish_copies(COUNT);
}

// Lane i gets word i % 4 of row i / 4 of each of four matrices, whose rows the lanes 8 m to 8 m + 7 point at.
void load_matrices(unsigned address, unsigned& a, unsigned& b, unsigned& c, unsigned& d);

// 16 x 8 += (16 x 8) * (8 x 8) of TF32, and (16 x 16) * (16 x 8) of bfloat16.
void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]);
void multiply_bfloat16(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]);

unsigned pair_of_bfloat16(unsigned first, unsigned second);

// To the nearest number of 11 bits, halves away from zero; infinity and NaN stay.
inline unsigned round_to_tf32(unsigned bits) {
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}

// ------------------------------------------------- tensor cores that take shared memory (wgmma.cu, hopper_convolution.cu)

void start_barrier(unsigned barrier);
void copy_in_bulk(unsigned to, const void* from, unsigned bytes, unsigned barrier);
void wait_for_copy(unsigned barrier, unsigned phase);

namespace standin {
enum Factors { OF_TF32, OF_BFLOAT16, OF_HALVES, OF_HALVES_ACROSS };  // 8 terms, then 16; of the last the right side lies across
void start_product(float* sums, unsigned tiles, const unsigned (&a)[4], unsigned long long b, bool add, Factors kind);
void wait_for_products_but(unsigned count);
}  // namespace standin

void begin_products();
template <size_t TILES>
inline void multiply_group(float (&sums)[TILES][4], const unsigned (&a)[4], unsigned long long b, int add) {
    standin::start_product(&sums[0][0], TILES, a, b, add != 0, standin::OF_TF32);
}
template <size_t TILES>
inline void multiply_group_bfloat16(float (&sums)[TILES][4], const unsigned (&a)[4], unsigned long long b) {
    standin::start_product(&sums[0][0], TILES, a, b, true, standin::OF_BFLOAT16);
}
template <size_t TILES>
inline void multiply_group_halves(float (&sums)[TILES][4], const unsigned (&a)[4], unsigned long long b, int add) {
    standin::start_product(&sums[0][0], TILES, a, b, add != 0, standin::OF_HALVES);
}
void end_products();
template <int COUNT>
inline void wait_for_products_but() {
    standin::wait_for_products_but(COUNT);
}

// -------------------------------------------------------------------------------------------- halves (halves.cu, hopper_gradient.cu)

void publish();
void load_transposed(unsigned address, unsigned (&a)[4]);
unsigned two_halves(float low, float high);
float low_half(unsigned x);
inline float high_half(unsigned x) { return low_half(x >> 16); }
inline void multiply_halves(float (&sums)[8][4], const unsigned (&a)[4], unsigned long long b, int add) {
    standin::start_product(&sums[0][0], 8, a, b, add != 0, standin::OF_HALVES_ACROSS);
}

#pragma GCC visibility pop
