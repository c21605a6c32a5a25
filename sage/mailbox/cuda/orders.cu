// Loads, stores and exchanges with their memory order, as PTX has them; ring.cu is written in these.
// (On the processor, as in the tests, the C++ standard's atomics are used instead.)

#ifndef RING_ON_HOST
#ifdef RING_SYSTEM_SCOPE
#define SCOPE "sys"  // a ring in mapped host memory: the processor accesses it too
#else
#define SCOPE "gpu"
#endif
// Exchanges have the GPU's scope: only its threads make them, and over PCIe a system-scoped one in host memory is not
// allowed if the machine has no native host atomics. The fences and releases next to them order them for the processor.
#define SHARED(type, name) __shared__ type name

typedef unsigned long long u64;
typedef unsigned int u32;

__device__ __forceinline__ u64 load_acquire(const u64* p) {
    u64 v; asm volatile("ld.acquire." SCOPE ".u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory"); return v;
}
__device__ __forceinline__ u64 load_relaxed(const u64* p) {
    u64 v; asm volatile("ld.relaxed." SCOPE ".u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory"); return v;
}
__device__ __forceinline__ u32 load_acquire(const u32* p) {
    u32 v; asm volatile("ld.acquire." SCOPE ".u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory"); return v;
}
__device__ __forceinline__ u32 load_relaxed(const u32* p) {
    u32 v; asm volatile("ld.relaxed." SCOPE ".u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory"); return v;
}
__device__ __forceinline__ uint4 load_relaxed(const uint4* p) {
    uint4 v;
    asm volatile("ld.relaxed." SCOPE ".v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p) : "memory");
    return v;
}
__device__ __forceinline__ void store_relaxed(uint4* p, uint4 v) {
    asm volatile("st.relaxed." SCOPE ".v4.u32 [%0], {%1, %2, %3, %4};"
                 :: "l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
__device__ __forceinline__ void store_relaxed(u32* p, u32 v) {
    asm volatile("st.relaxed." SCOPE ".u32 [%0], %1;" :: "l"(p), "r"(v) : "memory");
}
__device__ __forceinline__ void store_release(u64* p, u64 v) {
    asm volatile("st.release." SCOPE ".u64 [%0], %1;" :: "l"(p), "l"(v) : "memory");
}
__device__ __forceinline__ void store_release(u32* p, u32 v) {
    asm volatile("st.release." SCOPE ".u32 [%0], %1;" :: "l"(p), "r"(v) : "memory");
}
__device__ __forceinline__ u64 swap_acquire(u64* p, u64 expected, u64 v) {
    u64 old; asm volatile("atom.acquire.gpu.cas.b64 %0, [%1], %2, %3;"
                          : "=l"(old) : "l"(p), "l"(expected), "l"(v) : "memory"); return old;
}
__device__ __forceinline__ u32 swap_acquire(u32* p, u32 expected, u32 v) {
    u32 old; asm volatile("atom.acquire.gpu.cas.b32 %0, [%1], %2, %3;"
                          : "=r"(old) : "l"(p), "r"(expected), "r"(v) : "memory"); return old;
}
__device__ __forceinline__ u64 add_relaxed(u64* p, u64 v) {
    u64 old; asm volatile("atom.relaxed.gpu.add.u64 %0, [%1], %2;" : "=l"(old) : "l"(p), "l"(v) : "memory"); return old;
}
__device__ __forceinline__ u32 add_both(u32* p, u32 v) {
    u32 old; asm volatile("atom.acq_rel.gpu.add.u32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(v) : "memory"); return old;
}
__device__ __forceinline__ void max_release(u64* p, u64 v) {
    asm volatile("red.release.gpu.max.u64 [%0], %1;" :: "l"(p), "l"(v) : "memory");
}
__device__ __forceinline__ void fence() { asm volatile("fence.acq_rel." SCOPE ";" ::: "memory"); }
__device__ __forceinline__ void back_off() { __nanosleep(64); }
#endif

