// Runs CUDA kernels on the processor, one block after the other, so that they can be tested without a GPU.
//
// The threads of a block are fibers: each runs until it meets a barrier or ends, then the next one runs. A kernel
// without barriers needs none, and its threads run in a plain loop. Warps, speed and memory order are not modelled.

#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static  // blocks run one after the other
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __restrict__ __restrict

using std::exp;
using std::floor;
using std::log;
using std::max;
using std::min;
using std::sqrt;

struct dim3 {
    unsigned x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;

inline float __int_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

namespace standin {

constexpr size_t STACK = 1 << 18;

struct Fiber {
    ucontext_t context;
    jmp_buf jump;
    std::unique_ptr<char[]> stack;
    bool started = false, done = false;
};

static std::vector<std::unique_ptr<Fiber>> fibers;
static Fiber* current = nullptr;  // null: a plain loop, in which no barrier may occur
static ucontext_t scheduler;
static jmp_buf scheduler_jump;
static void (*body)(void*) = nullptr;
static void* arguments = nullptr;
#ifdef __SANITIZE_ADDRESS__
static const void* scheduler_stack = nullptr;
static size_t scheduler_size = 0;
#endif

[[noreturn]] inline void fail(const char* message) {
    std::fprintf(stderr, "cuda_on_host: %s\n", message);
    std::abort();
}

// Leave the fiber, back to the scheduler.
inline void suspend() {
    Fiber* self = current;
#ifdef __SANITIZE_ADDRESS__
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, scheduler_stack, scheduler_size);
    swapcontext(&self->context, &scheduler);
    __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
#else
    if (!_setjmp(self->jump)) _longjmp(scheduler_jump, 1);
#endif
}

inline void fiber_main() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    for (;;) {  // a fiber serves one thread after the other
        body(arguments);
        current->done = true;
        suspend();
    }
}

// Run a fiber until it suspends itself.
inline void resume(Fiber& fiber) {
    current = &fiber;
    const bool fresh = !fiber.started;
    if (fresh) {
        fiber.started = true;
        fiber.stack = std::make_unique<char[]>(STACK);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, fiber_main, 0);
    }
#ifdef __SANITIZE_ADDRESS__
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, fiber.stack.get(), STACK);
    swapcontext(&scheduler, &fiber.context);
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
    if (!_setjmp(scheduler_jump)) {
        if (fresh)
            setcontext(&fiber.context);
        else
            _longjmp(fiber.jump, 1);
    }
#endif
    current = nullptr;
}

inline void place_thread(unsigned t) {
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

// One block by fibers; returns whether there was a barrier.
inline bool run_block_by_fibers(unsigned threads) {
    while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
    for (unsigned t = 0; t < threads; ++t) fibers[t]->done = false;
    for (bool barrier = false;; barrier = true) {
        unsigned done = 0;
        for (unsigned t = 0; t < threads; ++t) {
            place_thread(t);
            resume(*fibers[t]);
            done += fibers[t]->done;
        }
        if (done == threads) return barrier;
        if (done) fail("some threads of a block wait at a barrier, others have ended");
    }
}

template <class F>
void run_grid(F&& thread, const unsigned* dims, bool& has_barriers, bool& is_known) {
    gridDim = {dims[0], dims[1], dims[2]};
    blockDim = {dims[3], dims[4], dims[5]};
    const unsigned threads = dims[3] * dims[4] * dims[5];
    body = [](void* f) { (*static_cast<std::remove_reference_t<F>*>(f))(); };
    arguments = &thread;
    for (unsigned z = 0; z < gridDim.z; ++z)
        for (unsigned y = 0; y < gridDim.y; ++y)
            for (unsigned x = 0; x < gridDim.x; ++x) {
                blockIdx = {x, y, z};
                if (!is_known || has_barriers) {
                    const bool found = run_block_by_fibers(threads);
                    has_barriers = has_barriers || found;
                    is_known = true;
                } else {
                    for (unsigned t = 0; t < threads; ++t) {
                        place_thread(t);
                        thread();
                    }
                }
            }
}

// What cuLaunchKernel does: arguments are given as pointers to their values.
template <class... A, size_t... I>
void launch(void (*kernel)(A...), const unsigned* dims, void** values, bool& barriers, bool& known,
            std::index_sequence<I...>) {
    std::tuple<std::remove_cv_t<A>...> copies(*static_cast<std::remove_cv_t<A>*>(values[I])...);
    run_grid([&] { std::apply(kernel, copies); }, dims, barriers, known);
}

template <class... A>
void launch(void (*kernel)(A...), const unsigned* dims, void** values) {
    static std::vector<std::tuple<void*, bool, bool>> kernels;  // (kernel, has barriers, is known)
    const auto id = reinterpret_cast<void*>(kernel);
    auto entry = std::find_if(kernels.begin(), kernels.end(), [&](auto& k) { return std::get<0>(k) == id; });
    if (entry == kernels.end()) entry = kernels.insert(kernels.end(), {id, false, false});
    launch(kernel, dims, values, std::get<1>(*entry), std::get<2>(*entry), std::index_sequence_for<A...>{});
}

}  // namespace standin

inline void __syncthreads() {
    if (!standin::current) standin::fail("a barrier that only some blocks of a kernel meet");
    standin::suspend();
}
