// ring.cu on the processor: a CUDA thread is a thread, a group and a block are barriers, atomics are the standard's.
// The kernels' own text runs; what it cannot show is the GPU's memory model (orders here are at least as strong).
#include <atomic>
#include <barrier>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#define RING_ON_HOST
#define __device__
#define __global__
#define __forceinline__ inline
typedef unsigned long long u64;
typedef unsigned int u32;
struct uint4 { u32 x, y, z, w; };
struct Dim { u32 x; };

struct Block {
    explicit Block(u32 threads, u32 width) : all(threads), shared{} {
        for (u32 i = 0; i < threads / width; ++i) groups.push_back(std::make_unique<std::barrier<>>(width));
        lanes.resize(threads);
    }
    std::barrier<> all;
    std::vector<std::unique_ptr<std::barrier<>>> groups;
    std::vector<u32> lanes;  // what each lane last offered to its group
    u32 shared[8];  // __shared__ words in order of declaration
};
thread_local Dim threadIdx, blockIdx, blockDim, gridDim;
thread_local Block* block;
thread_local u32 next_shared;

#define SHARED(type, name) type& name = block->shared[next_shared++]
inline void atomicMax(u32* p, u32 v) { for (u32 old = *p; old < v && !std::atomic_ref<u32>(*p).compare_exchange_weak(old, v);) {} }
inline void atomicMin(u32* p, u32 v) { for (u32 old = *p; old > v && !std::atomic_ref<u32>(*p).compare_exchange_weak(old, v);) {} }
inline void __syncthreads() { block->all.arrive_and_wait(); }

template <class T> T load_acquire(const T* p) { return std::atomic_ref<T>(*const_cast<T*>(p)).load(std::memory_order_acquire); }
template <class T> T load_relaxed(const T* p) { return std::atomic_ref<T>(*const_cast<T*>(p)).load(std::memory_order_relaxed); }
template <class T> void store_release(T* p, T v) { std::atomic_ref<T>(*p).store(v, std::memory_order_release); }
inline void store_release(u32* p, int v) { store_release<u32>(p, v); }
template <class T> void store_relaxed(T* p, T v) { std::atomic_ref<T>(*p).store(v, std::memory_order_relaxed); }
inline void store_relaxed(u32* p, int v) { store_relaxed<u32>(p, v); }
template <> inline uint4 load_relaxed(const uint4* p) {
    return {load_relaxed(&p->x), load_relaxed(&p->y), load_relaxed(&p->z), load_relaxed(&p->w)};
}
template <> inline void store_relaxed(uint4* p, uint4 v) {
    store_relaxed(&p->x, v.x); store_relaxed(&p->y, v.y);
    std::this_thread::yield();  // in the middle of a record is where a switch would tear it
    store_relaxed(&p->z, v.z); store_relaxed(&p->w, v.w);
}
template <class T> T swap_any(T* p, T expected, T v) {
    std::atomic_ref<T>(*p).compare_exchange_strong(expected, v, std::memory_order_acquire);
    return expected;
}
inline u64 swap_acquire(u64* p, u64 expected, u64 v) { return swap_any<u64>(p, expected, v); }
inline u32 swap_acquire(u32* p, u32 expected, u32 v) { return swap_any<u32>(p, expected, v); }
inline u64 add_relaxed(u64* p, u64 v) { return std::atomic_ref<u64>(*p).fetch_add(v, std::memory_order_relaxed); }
inline u32 add_both(u32* p, u32 v) { return std::atomic_ref<u32>(*p).fetch_add(v, std::memory_order_acq_rel); }
inline void max_release(u64* p, u64 v) {
    u64 old = load_relaxed(p);
    while (old < v && !std::atomic_ref<u64>(*p).compare_exchange_weak(old, v, std::memory_order_release)) {}
}
inline void fence() { std::atomic_thread_fence(std::memory_order_acq_rel); }
inline void back_off() { std::this_thread::yield(); }

struct Group;
static Group group_of(const struct Ring* ring);
static void group_sync(Group g);
static u32 group_share(Group g, u32 leaders_value);
static u32 group_from(Group g, u32 value, u32 lane);
#include RING_SOURCE

static u32 width_of(const Ring* ring) { return ring->record_bytes / 16; }
static Group group_of(const Ring* ring) {
    u32 width = width_of(ring), thread = blockIdx.x * blockDim.x + threadIdx.x;
    return {threadIdx.x % width, width, thread / width, gridDim.x * blockDim.x / width};
}
static void group_sync(Group g) { block->groups[threadIdx.x / g.mask]->arrive_and_wait(); }  // mask: the width, here
static u32 group_from(Group g, u32 value, u32 lane) {
    block->lanes[threadIdx.x] = value;
    group_sync(g);
    u32 got = block->lanes[threadIdx.x - g.lane + lane];
    group_sync(g);
    return got;
}
static u32 group_share(Group g, u32 leaders_value) { return group_from(g, leaders_value, 0); }

template <class Kernel> static void launch_kernel(u32 grid, u32 threads, u32 width, Kernel kernel) {
    std::vector<std::unique_ptr<Block>> blocks;
    std::vector<std::thread> all;
    for (u32 b = 0; b < grid; ++b) blocks.push_back(std::make_unique<Block>(threads, width));
    for (u32 b = 0; b < grid; ++b)
        for (u32 t = 0; t < threads; ++t)
            all.emplace_back([&, b, t] {
                threadIdx = {t}, blockIdx = {b}, blockDim = {threads}, gridDim = {grid}, block = blocks[b].get(), next_shared = 0;
                kernel();
            });
    for (auto& thread : all) thread.join();
}

extern "C" void host_push(u32 grid, u32 threads, Ring* ring, Launch* launch, const uint4* records, u32 num) {
    launch_kernel(grid, threads, width_of(ring), [=] { ring_push(ring, launch, records, num); });
}
extern "C" void host_push_each(u32 grid, u32 threads, Ring* ring, const uint4* records, u32 num, u32* num_taken) {
    launch_kernel(grid, threads, width_of(ring), [=] { ring_push_each(ring, records, num, num_taken); });
}
extern "C" void host_subscribe(Ring* ring, u32 which, u64 ticket) { ring_subscribe(ring, which, ticket); }
extern "C" void host_pop(u32 grid, u32 threads, Ring* ring, Launch* launch, u32 which, uint4* out, u32* statuses,
                         Result* result, u32 max) {
    launch_kernel(grid, threads, width_of(ring), [=] { ring_pop(ring, launch, which, out, statuses, result, max); });
}
