// What stands behind `cuda_on_host.h`: fibers, barriers, copies and products that are under way.

#include "cuda_on_host.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace standin {

constexpr size_t STACK = 1 << 18;

enum State { READY, AT_BLOCK, AT_WARP, AT_COPY, DONE };

struct Copy {
    void* to;
    const void* from;  // null: zeros
    size_t size;
    unsigned group;
};

// A product that tensor cores are at, which reads registers and shared memory while it is under way.
struct Product {
    float* sums;
    unsigned tiles;
    const unsigned* registers;
    unsigned kept[4];
    double left[2][16];  // this lane's two rows
    Factors kind;
    unsigned long long right;
    bool add;
    unsigned group;
};

struct Fiber {
    ucontext_t context;
    jmp_buf jump;
    std::unique_ptr<char[]> stack;
    bool started = false;
    State state = READY;
    unsigned exchanges = 0;     // how often it met its warp
    std::vector<Copy> copies;   // asynchronous ones that nobody has waited for
    unsigned group = 0;         // of the next copy
    std::vector<Product> products;
    std::map<float*, std::vector<float>> sums;  // of these products, as they were
    unsigned product_group = 0;
    bool may_multiply = false, has_published = false;
};

alignas(128) unsigned char shared_memory[MOST_SHARED + GUARD];
static size_t shared_size = 0;
alignas(16) unsigned char exchanged[32][2][32][MOST_EXCHANGED];

// Barriers that count copies, by their addresses in shared memory: phases that are over, and copies of the next one.
struct CopyBarrier {
    unsigned phases = 0;
    std::vector<Copy> copies;
};
static std::map<unsigned, CopyBarrier> copy_barriers;
static unsigned bulk_events = 0;  // copies that were started or waited for

static std::vector<std::unique_ptr<Fiber>> fibers;
static Fiber* current = nullptr;  // null: a plain loop, in which no barrier may occur
static jmp_buf scheduler_jump;
static void (*body)(void*) = nullptr;
static void* arguments = nullptr;
#ifdef __SANITIZE_ADDRESS__
static ucontext_t scheduler;
static const void* scheduler_stack = nullptr;
static size_t scheduler_size = 0;
#endif

[[noreturn]] static void fail(const char* message) {
    std::fprintf(stderr, "cuda_on_host: %s\n", message);
    std::abort();
}

// Leave the fiber, back to the scheduler.
static void suspend(State state) {
    Fiber* self = current;
    self->state = state;
#ifdef __SANITIZE_ADDRESS__
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, scheduler_stack, scheduler_size);
    swapcontext(&self->context, &scheduler);
    __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
#else
    if (!_setjmp(self->jump)) _longjmp(scheduler_jump, 1);
#endif
}

static void fiber_main() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    for (;;) {  // a fiber serves one thread after the other
        body(arguments);
        if (!current->copies.empty()) fail("a thread ended without waiting for its copies");
        if (!current->products.empty()) fail("a thread ended without waiting for its products");
        suspend(DONE);
    }
}

// Run a fiber until it suspends itself.
static void resume(Fiber& fiber) {
    current = &fiber;
    const bool fresh = !fiber.started;
    if (fresh) {
        fiber.started = true;
        fiber.stack = std::make_unique_for_overwrite<char[]>(STACK);  // no zeros, which would take memory for all of it
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

static void place_thread(unsigned t) {
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

static bool is_shuffled() {
    const char* seed = std::getenv("MINICNN_STANDIN_SEED");
    return seed && *seed;
}

// 0 … count - 1 in their order, or in one that depends on the seed.
static std::vector<unsigned> some_order(unsigned count) {
    static uint64_t state = 1;
    std::vector<unsigned> order(count);
    for (unsigned t = 0; t < count; ++t) order[t] = t;
    if (!is_shuffled()) return order;
    state += std::strtoull(std::getenv("MINICNN_STANDIN_SEED"), nullptr, 10);
    for (unsigned t = count; t > 1; --t) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        std::swap(order[t - 1], order[(state >> 33) % t]);
    }
    return order;
}

// Let the warp of thread `first` go on if all of its lanes wait for each other; returns whether they did.
static bool release_warp(unsigned first, unsigned end) {
    unsigned waiting = 0;
    for (unsigned t = first; t < end; ++t) waiting += fibers[t]->state == AT_WARP;
    if (!waiting) return false;
    if (waiting < end - first) fail("some lanes of a warp wait for each other, others are elsewhere");
    for (unsigned t = first; t < end; ++t) fibers[t]->state = READY;
    return true;
}

static void run_threads(unsigned first, unsigned end) {
    for (const unsigned lane : some_order(end - first)) {
        const unsigned t = first + lane;
        if (fibers[t]->state != READY) continue;
        place_thread(t);
        resume(*fibers[t]);
    }
}

// Run every thread until it waits for its block or ends: all warps side by side, or, shuffled, one as far as it gets before
// the next one begins, so that what another warp should have done is not done yet, or is done too early.
static bool run_until_barrier(unsigned threads) {
    bool waited = false;
    if (is_shuffled()) {
        for (const unsigned warp : some_order((threads + 31) / 32))
            do run_threads(warp * 32, min(warp * 32 + 32, threads));
            while (release_warp(warp * 32, min(warp * 32 + 32, threads)) && (waited = true));
        return waited;
    }
    for (bool any = true; any; waited = waited || any) {
        run_threads(0, threads);
        any = false;
        for (unsigned first = 0; first < threads; first += 32)
            any = release_warp(first, min(first + 32, threads)) || any;
    }
    return waited;
}

// One block by fibers; returns whether any of them waited.
static bool run_block_by_fibers(unsigned threads) {
    while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
    for (unsigned t = 0; t < threads; ++t) fibers[t]->state = READY, fibers[t]->has_published = false;
    unsigned seen = bulk_events - 1;
    for (bool waited = false;; waited = true) {
        waited = run_until_barrier(threads) || waited;
        unsigned done = 0, looking = 0;
        for (unsigned t = 0; t < threads; ++t) done += fibers[t]->state == DONE, looking += fibers[t]->state == AT_COPY;
        if (done == threads) return waited;
        if (looking) {  // they look again
            if (seen == bulk_events) fail("threads wait for a copy that nobody starts");
            seen = bulk_events;
            for (unsigned t = 0; t < threads; ++t)
                if (fibers[t]->state == AT_COPY) fibers[t]->state = READY;
            continue;
        }
        if (done) fail("some threads of a block wait at a barrier, others have ended");
        for (unsigned t = 0; t < threads; ++t) fibers[t]->state = READY;
    }
}

unsigned meet_warp(const void* value, size_t size) {
    if (!current) fail("lanes that only some blocks of a kernel have wait for each other");
    Fiber* self = current;
    const unsigned turn = self->exchanges++, t = thread_of_block();
    std::memcpy(exchanged[t / 32][turn % 2][t % 32], value, size);
    suspend(AT_WARP);
    return turn;
}

static void begin_block() {
    copy_barriers.clear();
    if (!shared_size) return;
    std::memset(shared_memory, 0xff, shared_size);
    std::memset(shared_memory + shared_size, 0x5a, GUARD);
}

static void end_block() {
    for (const auto& barrier : copy_barriers)
        if (!barrier.second.copies.empty()) fail("a block ended without waiting for its copies");
    for (size_t i = 0; shared_size && i < GUARD; ++i)
        if (shared_memory[shared_size + i] != 0x5a) fail("a block wrote beyond its shared memory");
}

void run_grid(void (*function)(void*), void* its_arguments, const unsigned* dims) {
    bool has_barriers = false, is_known = false;
    shared_size = dims[6];
    gridDim = {dims[0], dims[1], dims[2]};
    blockDim = {dims[3], dims[4], dims[5]};
    const unsigned threads = dims[3] * dims[4] * dims[5];
    body = function;
    arguments = its_arguments;
    for (unsigned z = 0; z < gridDim.z; ++z)
        for (unsigned y = 0; y < gridDim.y; ++y)
            for (unsigned x = 0; x < gridDim.x; ++x) {
                blockIdx = {x, y, z};
                begin_block();
                if (!is_known || has_barriers) {
                    const bool found = run_block_by_fibers(threads);
                    has_barriers = has_barriers || found;
                    is_known = true;
                } else {
                    for (unsigned t = 0; t < threads; ++t) {
                        place_thread(t);
                        body(arguments);
                    }
                }
                end_block();
            }
}

}  // namespace standin

void __syncthreads() {
    if (!standin::current) standin::fail("a barrier that only some blocks of a kernel meet");
    standin::suspend(standin::AT_BLOCK);
}

// ------------------------------------------------------------------------------------- asynchronous copies (common.cu)

namespace standin {

// Until its thread has waited for its group, there is a number so large that no result stays right. It is none that is not
// finite, which kernels may look for.
static void copy_later(void* to, const void* from, bool inside, unsigned size = 16) {
    if (reinterpret_cast<uintptr_t>(to) % size || reinterpret_cast<uintptr_t>(from) % size)
        fail("an asynchronous copy is not aligned");
    if (!current) fail("asynchronous copies in a kernel that has no barrier");
    current->copies.push_back({to, inside ? from : nullptr, size, current->group});
    std::memset(to, 0x6b, size);
}

// The copies of all groups but the last `count` ones are there.
void finish_copies(unsigned count) {
    auto& copies = current->copies;
    const auto is_due = [&](const Copy& copy) { return copy.group + count < current->group; };
    for (const auto& copy : copies)
        if (is_due(copy)) copy.from ? std::memcpy(copy.to, copy.from, copy.size) : std::memset(copy.to, 0, copy.size);
    copies.erase(std::remove_if(copies.begin(), copies.end(), is_due), copies.end());
}

}  // namespace standin

void copy_ahead_16(float* to, const float* from) {
    if (standin::current)
        standin::copy_later(to, from, true);
    else
        std::memcpy(to, from, 16);
}

void copy_ahead_4(float* to, const float* from) {
    if (standin::current)
        standin::copy_later(to, from, true, 4);
    else
        *to = *from;
}

void wait_for_copies() {
    if (!standin::current) return;
    ++standin::current->group;
    standin::finish_copies(0);
}

// ----------------------------------------------------------------------------------------- tensor cores (tensor_cores.cu)

namespace standin {

static unsigned char* at_shared(unsigned address, unsigned size) {
    if (address % 16 || address + size > shared_size) fail("an address in shared memory is not aligned, or outside");
    return shared_memory + address;
}

// What a tensor core reads of a float32: the last 13 bits do not count.
static double cut_to_tf32(unsigned bits) { return same_bits<float>(bits & 0xffffe000u); }

// A sum as tensor cores make it: exact products, of whose sum what does not fit into float32 is cut off.
static float cut_to_float(double exact) {
    const float rounded = static_cast<float>(exact);
    return std::isfinite(rounded) && std::fabs(static_cast<double>(rounded)) > std::fabs(exact)
               ? same_bits<float>(same_bits<unsigned>(rounded) - 1)  // the next one towards zero
               : rounded;
}

}  // namespace standin

void copy_in_group(unsigned to, const float* from, bool inside) {
    standin::copy_later(standin::at_shared(to, 16), from, inside);
}
void end_group() { ++standin::current->group; }

void load_matrices(unsigned address, unsigned& a, unsigned& b, unsigned& c, unsigned& d) {
    const unsigned t = standin::thread_of_block(), turn = standin::meet_warp(address), lane = t % 32;
    unsigned* const results[4] = {&a, &b, &c, &d};
    for (unsigned matrix = 0; matrix < 4; ++matrix) {
        const unsigned row = standin::of_lane<unsigned>(t / 32, turn, 8 * matrix + lane / 4);
        std::memcpy(results[matrix], standin::at_shared(row, 16) + lane % 4 * 4, 4);
    }
}

namespace standin {

// 16 x 8 += (16 x TERMS) * (TERMS x 8), of EACH factors in a word: which lane holds what is said in tensor_cores.cu, after
// NVIDIA's "PTX ISA". factor(word, which): one of them.
template <unsigned TERMS, unsigned EACH, typename F>
static void multiply_fragments(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2], F factor) {
    struct Factors {
        double a[4][EACH], b[2][EACH];
    } mine;
    for (unsigned each = 0; each < EACH; ++each) {
        for (unsigned word = 0; word < 4; ++word) mine.a[word][each] = factor(a[word], each);
        for (unsigned word = 0; word < 2; ++word) mine.b[word][each] = factor(b[word], each);
    }
    const unsigned t = thread_of_block(), turn = meet_warp(mine), lane = t % 32;
    const auto of = [&](unsigned other) -> const Factors& { return of_lane<Factors>(t / 32, turn, other); };
    static_assert(TERMS == 2 * 4 * EACH);  // words, lanes, factors in a word
    for (unsigned e = 0; e < 4; ++e) {
        double exact = sum[e];
        for (unsigned word = 0; word < 2; ++word)
            for (unsigned own = 0; own < 4; ++own)
                for (unsigned each = 0; each < EACH; ++each)
                    exact += of(lane / 4 * 4 + own).a[e / 2 + word * 2][each] *
                             of((lane % 4 * 2 + e % 2) * 4 + own).b[word][each];
        sum[e] = cut_to_float(exact);
    }
}

}  // namespace standin

void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    standin::multiply_fragments<8, 1>(sum, a, b, [](unsigned word, unsigned) { return standin::cut_to_tf32(word); });
}

namespace standin {

static double half_of(unsigned pair, unsigned which) { return same_bits<float>(which ? pair & 0xffff0000u : pair << 16); }

static unsigned round_to_bfloat16(unsigned bits) {
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;  // NaN
    return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

}  // namespace standin

unsigned pair_of_bfloat16(unsigned first, unsigned second) {
    return standin::round_to_bfloat16(first) | standin::round_to_bfloat16(second) << 16;
}

void multiply_bfloat16(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    standin::multiply_fragments<16, 2>(sum, a, b, standin::half_of);
}

// ------------------------------------------------------- tensor cores that take shared memory (hopper_convolution.cu)

namespace standin {

static CopyBarrier& copy_barrier(unsigned address) {
    const auto found = copy_barriers.find(address);
    if (found == copy_barriers.end()) fail("a barrier for copies that nobody started");
    return found->second;
}

constexpr unsigned terms_of(Factors kind) { return kind == OF_TF32 ? 8 : 16; }

// Of the lower 16 bits.
static float float_of_half(unsigned x) {
    const unsigned sign = (x & 0x8000) << 16, exponent = x >> 10 & 31, fraction = x & 1023;
    if (exponent == 31) return fraction ? NAN : same_bits<float>(sign | 0x7f800000u);
    if (exponent) return same_bits<float>(sign | (exponent + 127 - 15) << 23 | fraction << 13);
    const float size = float(fraction) * 0x1p-24f;
    return sign ? -size : size;
}

inline double factor_of(Factors kind, unsigned bits, unsigned which) {
    if (kind == OF_TF32) return cut_to_tf32(bits);
    return kind == OF_BFLOAT16 ? half_of(bits, which) : float_of_half(which ? bits >> 16 : bits);
}

// What the tensor cores read of a column of the right factor: half of its terms each in a line of 16 bytes, which lie in
// blocks of 8 columns; across each term in a line of its own, which has 8 columns.
template <Factors KIND>
static void read_column(unsigned long long right, unsigned column, double (&factors)[16]) {
    const auto bytes = [&](unsigned bit) { return unsigned(right >> bit & 0x3fff) << 4; };
    constexpr unsigned TERMS = terms_of(KIND), LINES = KIND == OF_HALVES_ACROSS ? TERMS / 2 : 1;  // of a block, which are read
    for (unsigned half = 0; half < 2; ++half) {
        const unsigned block = bytes(0) + half * bytes(16) + column / 8 * bytes(32);
        const unsigned char* lines = at_shared(block + (KIND == OF_HALVES_ACROSS ? 0 : column % 8) * 16, LINES * 16);
        for (unsigned k = 0; k < TERMS / 2; ++k) {
            const unsigned at = KIND == OF_HALVES_ACROSS ? k * 8 + column % 8 : k, each = KIND == OF_TF32 ? 1 : 2;  // in a word
            unsigned word;
            std::memcpy(&word, lines + at / each * 4, 4);
            factors[half * TERMS / 2 + k] = factor_of(KIND, word, at % each);
        }
    }
}

template <Factors KIND>
static void add_product(const Product& product, unsigned lane, float* sums) {
    for (unsigned pair = 0; pair < product.tiles * 2; ++pair) {
        double right[16];
        read_column<KIND>(product.right, pair / 2 * 8 + lane % 4 * 2 + pair % 2, right);
        for (unsigned half = 0; half < 2; ++half) {
            float& sum = sums[pair / 2 * 4 + half * 2 + pair % 2];
            double exact = product.add ? sum : 0;
            for (unsigned k = 0; k < terms_of(KIND); ++k) exact += product.left[half][k] * right[k];
            sum = cut_to_float(exact);
        }
    }
}

static void finish_product(const Product& product, unsigned lane) {
    if (std::memcmp(product.registers, product.kept, sizeof product.kept)) fail("a factor changed during its product");
    constexpr void (*ADD[])(const Product&, unsigned, float*) = {add_product<OF_TF32>, add_product<OF_BFLOAT16>,
                                                                 add_product<OF_HALVES>,
                                                                 add_product<OF_HALVES_ACROSS>};
    ADD[product.kind](product, lane, current->sums[product.sums].data());
}

}  // namespace standin

void start_barrier(unsigned barrier) {
    if (barrier % 8 || barrier + 8 > standin::shared_size) standin::fail("a barrier is not aligned, or outside");
    standin::copy_barriers[barrier] = {};
}

// Copied when somebody waits for it: until then there is what spoils any sum.
void copy_in_bulk(unsigned to, const void* from, unsigned bytes, unsigned barrier) {
    if (bytes % 16 || reinterpret_cast<uintptr_t>(from) % 16) standin::fail("a bulk copy is not aligned");
    std::memset(standin::at_shared(to, bytes), 0x6b, bytes);
    standin::copy_barrier(barrier).copies.push_back({standin::at_shared(to, bytes), from, bytes, 0});
    ++standin::bulk_events;
}

void wait_for_copy(unsigned barrier, unsigned phase) {
    standin::meet_warp(0);
    for (;; standin::suspend(standin::AT_COPY)) {
        auto& found = standin::copy_barrier(barrier);
        if (found.phases % 2 != phase) return;
        if (found.copies.empty()) continue;
        for (const auto& copy : found.copies) std::memcpy(copy.to, copy.from, copy.size);
        found.copies.clear();
        ++found.phases, ++standin::bulk_events;
    }
}

void begin_products() { standin::current->may_multiply = true; }

void end_products() { ++standin::current->product_group, standin::current->may_multiply = false; }

namespace standin {

// Computed when its group is waited for; until then the sums hold what spoils any other one.
void start_product(float* sums, unsigned tiles, const unsigned (&a)[4], unsigned long long b, bool add, Factors kind) {
    struct Factor {
        unsigned a[4];
    } mine;
    std::memcpy(mine.a, a, sizeof a);
    const unsigned t = thread_of_block(), turn = meet_warp(mine), lane = t % 32;
    Product product{sums, tiles, a, {a[0], a[1], a[2], a[3]}, {}, kind, b, add};
    auto& self = *current;
    product.group = self.product_group;
    for (unsigned half = 0; half < 2; ++half)
        for (unsigned k = 0; k < terms_of(kind); ++k) {
            const unsigned word = k * 8 / terms_of(kind);
            const auto& other = of_lane<Factor>(t / 32, turn, lane / 4 * 4 + word % 4);
            const unsigned bits = other.a[half + word / 4 * 2];
            product.left[half][k] = factor_of(kind, bits, k % 2);
        }
    if (!self.may_multiply) fail("a product that no fence precedes");
    if (kind == OF_HALVES_ACROSS && !self.has_published) fail("a product of what nobody has published");
    if (self.sums.try_emplace(product.sums, product.sums, product.sums + tiles * 4).second)
        std::memset(product.sums, 0x6b, tiles * 16);
    self.products.push_back(product);
}

void wait_for_products_but(unsigned count) {
    auto& self = *current;
    size_t done = 0;
    for (; done < self.products.size() && self.products[done].group + count < self.product_group; ++done)
        finish_product(self.products[done], thread_of_block() % 32);
    self.products.erase(self.products.begin(), self.products.begin() + done);
    for (auto sums = self.sums.begin(); sums != self.sums.end();) {
        const auto is_same = [&](const auto& product) { return product.sums == sums->first; };
        if (std::any_of(self.products.begin(), self.products.end(), is_same)) {
            ++sums;
            continue;
        }
        std::copy(sums->second.begin(), sums->second.end(), sums->first);
        sums = self.sums.erase(sums);
    }
}

}  // namespace standin

// -------------------------------------------------------------------------------------------- halves (halves.cu, hopper_gradient.cu)

void publish() { standin::current->has_published = true; }

// Lane i gets, of each of four matrices, rows 2 (i % 4) and the next one of column i / 4.
void load_transposed(unsigned address, unsigned (&a)[4]) {
    const unsigned t = standin::thread_of_block(), turn = standin::meet_warp(address), lane = t % 32;
    for (unsigned matrix = 0; matrix < 4; ++matrix) {
        a[matrix] = 0;
        for (unsigned each = 0; each < 2; ++each) {
            const unsigned row = standin::of_lane<unsigned>(t / 32, turn, 8 * matrix + lane % 4 * 2 + each);
            uint16_t half;
            std::memcpy(&half, standin::at_shared(row, 16) + lane / 4 * 2, 2);
            a[matrix] |= unsigned(half) << 16 * each;
        }
    }
}

namespace standin {

// The nearest number of 11 bits from 2^-14 on, below that the nearest multiple of 2^-24; from 65520 on infinity.
static unsigned round_to_half(float x) {
    const unsigned sign = same_bits<unsigned>(x) >> 16 & 0x8000;
    const float size = std::fabs(x);
    if (size != size) return 0x7fff;
    if (size == 0) return sign;
    if (size >= 65520) return sign | 0x7c00;
    int exponent;
    std::frexp(size, &exponent);  // size < 2^exponent
    const int step = max(exponent - 11, -24);
    const unsigned steps = static_cast<unsigned>(std::nearbyint(std::ldexp(size, -step)));  // maybe 2^11
    return sign | (step == -24 ? steps : (unsigned(step + 24) << 10) + steps);
}

}  // namespace standin

unsigned two_halves(float low, float high) { return standin::round_to_half(low) | standin::round_to_half(high) << 16; }

float low_half(unsigned x) { return standin::float_of_half(x); }
