// What the kernels for Hopper alone have in common. A product is between begin_products and end_products, and under way until
// it was waited for: nobody may touch its sums, or a factor in registers, before.

// A parameter of a product: four sums.
#define FOUR(j) "+f"(sums[j][0]), "+f"(sums[j][1]), "+f"(sums[j][2]), "+f"(sums[j][3])

#ifndef CUDA_ON_HOST  // the tests' stand-in has its own
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void end_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int COUNT>
__device__ __forceinline__ void wait_for_products_but() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(COUNT) : "memory");
}
#endif
