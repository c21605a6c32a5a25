// A broadcast ring of fixed-size records in device memory: written and read by batch kernels, or by a device function
// in a user's kernel. No thread waits for another: a writer that finds an incomplete record of an earlier lap skips its
// own record (a void), a reader gets the complete records before it and the exact number lost.
//
// Each slot has a state word that only grows: 2t+1 while ticket t is being written, 2t+2 once it is complete.
//   writer  W1 state: acquire-CAS to 2t+1   W2 fence   W3 payload, relaxed   W4 state: release-store of 2t+2
//   reader  R1 state: acquire-load          R2 payload, relaxed   R3 fence   R4 state again
// W4 with R1: a reader that sees 2t+2 sees the payload of t. W2 with R3: one that read any byte of a later writer's W3
// sees that writer's W1 at R4, and counts the record as lapped. So no torn record is delivered.
//
// A group of record_bytes / 16 lanes copies one record, 16 bytes per lane.

#define NUM_CURSORS 16
#define NOT_SUBSCRIBED (~0ull)
enum Status { WHOLE = 0, PENDING = 1, VOID = 2, LAPPED = 3 };
enum Phase { IDLE = 0, OPENING = 1, OPEN = 2 };

// Followed by capacity state words, capacity void words, and the records.
struct Ring {
    u64 reserved;      // the next ticket
    u64 capacity;      // a power of two
    u64 num_voids;     // records skipped because an earlier lap was incomplete
    u64 num_refused;   // of a lossless ring without room
    u32 record_bytes;  // 128 or 256
    u32 is_lossless;
    u32 shift;         // log2(capacity)
    u32 unused[21];
    u64 cursors[NUM_CURSORS];  // the next ticket of each subscriber, or NOT_SUBSCRIBED
};
static_assert(sizeof(Ring) == 256, "the layout that Python writes");

// State shared by the blocks of one launch; one per producer and subscription, launched in stream order.
struct Launch {
    u32 phase, num_done;
    u64 first, lost;
    u32 count, skipped;
    u32 num_not_whole, unused;  // of a pop: usually 0, then the statuses are not read
};
static_assert(sizeof(Launch) == 40, "the layout that Python reads");

struct Result {
    u64 first_ticket, lost;
    u32 offset, count;  // records [offset, offset + count) of the buffer are valid
};  // 24 bytes

struct Group {
    u32 lane, mask, index, count;  // this thread's place in its group; this group's among all of the launch
};

__device__ __forceinline__ u64* states_of(Ring* ring) { return (u64*)(ring + 1); }
__device__ __forceinline__ u64* voids_of(Ring* ring) { return states_of(ring) + ring->capacity; }
__device__ __forceinline__ uint4* records_of(Ring* ring) {
    u64 address = (u64)(voids_of(ring) + ring->capacity);
    return (uint4*)((address + 127) & ~127ull);
}

#ifndef RING_ON_HOST
__device__ __forceinline__ Group group_of(const Ring* ring) {
    u32 width = ring->record_bytes / 16, thread = blockIdx.x * blockDim.x + threadIdx.x;
    u32 place = threadIdx.x % 32;
    Group g;
    g.lane = place % width;
    g.mask = ((1u << width) - 1u) << (place - g.lane);
    g.index = thread / width;
    g.count = gridDim.x * blockDim.x / width;
    return g;
}
__device__ __forceinline__ void group_sync(Group g) { __syncwarp(g.mask); }
__device__ __forceinline__ u32 group_share(Group g, u32 leaders_value) {
    return __shfl_sync(g.mask, leaders_value, __ffs(g.mask) - 1);
}
__device__ __forceinline__ u32 group_from(Group g, u32 value, u32 lane) {
    return __shfl_sync(g.mask, value, __ffs(g.mask) - 1 + lane);
}
#endif

// Reserves tickets [first, first + the result) for the caller.
__device__ u32 ring_reserve(Ring* ring, u32 num, u64* first) {
    if (!ring->is_lossless) {
        *first = add_relaxed(&ring->reserved, num);
        return num;
    }
    u64 tail = load_relaxed(&ring->reserved);
    for (;;) {
        u64 floor = tail;
        bool is_read = false;
        for (int i = 0; i < NUM_CURSORS; ++i) {
            u64 cursor = load_acquire(&ring->cursors[i]);  // pairs with the release at the end of a pop: earlier records are read
            if (cursor == NOT_SUBSCRIBED) continue;
            is_read = true;
            if (cursor < floor) floor = cursor;
        }
        u64 behind = tail - floor, room = behind < ring->capacity ? ring->capacity - behind : 0;
        u32 taken = num < room || !is_read ? num : (u32)room;
        u64 seen = swap_acquire(&ring->reserved, tail, tail + taken);
        if (seen == tail) {
            if (taken < num) add_relaxed(&ring->num_refused, num - taken);
            *first = tail;
            return taken;
        }
        tail = seen;
    }
}

// All lanes of a group write one record; false if it was skipped. Zeroes the payload past `length`, stamps the lap.
__device__ bool ring_put(Ring* ring, u64 ticket, Group g, uint4 word) {
    u64 at = ticket & (ring->capacity - 1);
    u64* state = states_of(ring) + at;
    u32 is_mine = 0;
    if (g.lane == 0) {
        u64 seen = load_relaxed(state);
        while (seen < 2 * ticket + 1) {  // otherwise a later lap has written here, and this record is lost
            if (seen & 1) {
                max_release(voids_of(ring) + at, ticket + 1);
                add_relaxed(&ring->num_voids, 1);
                break;
            }
            u64 old = swap_acquire(state, seen, 2 * ticket + 1);  // W1
            if (old == seen) { is_mine = 1; break; }
            seen = old;
        }
    }
    is_mine = group_share(g, is_mine);
    if (!is_mine) return false;
    fence();  // W2, in every lane that stores
    u32 room = ring->record_bytes - 64, length = group_from(g, word.z, 1);
    if (length > room) length = room;
    if (g.lane == 1) { word.z = length; word.w = (u32)(ticket >> ring->shift) + 1; }
    u32* part = &word.x;
    #pragma unroll
    for (u32 i = 0; i < 4; ++i) {
        u32 start = g.lane * 16 + i * 4, end = 64 + length;
        if (start >= end) part[i] = 0;
        else if (end - start < 4) part[i] &= (1u << 8 * (end - start)) - 1;
    }
    store_relaxed(records_of(ring) + at * (ring->record_bytes / 16) + g.lane, word);  // W3
    group_sync(g);
    if (g.lane == 0) store_release(state, 2 * ticket + 2);  // W4
    return true;
}

// For users' kernels: the lanes of a group push one record, 16 bytes each. False: refused or skipped.
__device__ bool ring_push_record(Ring* ring, Group g, uint4 word) {
    u64 first = 0;
    u32 taken = g.lane == 0 ? ring_reserve(ring, 1, &first) : 0;
    u32 low = group_share(g, (u32)first), high = group_share(g, (u32)(first >> 32));
    return group_share(g, taken) && ring_put(ring, (u64)high << 32 | low, g, word);
}

__device__ u32 ring_get(Ring* ring, u64 ticket, Group g, uint4* out) {
    u64 at = ticket & (ring->capacity - 1);
    u64* state = states_of(ring) + at;
    u32 status = PENDING;
    if (g.lane == 0) {
        u64 seen = load_acquire(state);  // R1
        if (seen == 2 * ticket + 2) status = WHOLE;
        else if (seen > 2 * ticket + 2) status = LAPPED;
        else if (load_acquire(voids_of(ring) + at) == ticket + 1) status = VOID;
    }
    status = group_share(g, status);
    if (status != WHOLE) return status;
    *out = load_relaxed(records_of(ring) + at * (ring->record_bytes / 16) + g.lane);  // R2
    fence();  // R3, in every lane that loaded
    group_sync(g);
    if (g.lane == 0 && load_relaxed(state) != 2 * ticket + 2) status = LAPPED;  // R4
    return group_share(g, status);
}

// The first block opens the launch, the others wait for it; it is already running, so the wait ends.
__device__ bool opens(Launch* launch) {
    if (swap_acquire(&launch->phase, IDLE, OPENING) == IDLE) return true;
    while (load_acquire(&launch->phase) != OPEN) back_off();
    return false;
}

// True in every thread of the last block, which sees the stores of all others.
__device__ bool is_last_block(Launch* launch, u32* flag) {
    __syncthreads();
    if (threadIdx.x == 0) *flag = add_both(&launch->num_done, 1) == gridDim.x - 1;
    __syncthreads();
    return *flag;
}

__device__ void close_launch(Launch* launch) {
    store_relaxed(&launch->num_done, 0);
    store_relaxed(&launch->num_not_whole, 0);
    store_release(&launch->phase, IDLE);
}

// records (num, record_bytes). launch->count: the number appended, in order, with consecutive tickets.
extern "C" __global__ void ring_push(Ring* ring, Launch* launch, const uint4* records, u32 num) {
    SHARED(u32, flag);
    if (threadIdx.x == 0 && opens(launch)) {
        launch->count = ring_reserve(ring, num, &launch->first);
        launch->skipped = launch->count > ring->capacity ? launch->count - (u32)ring->capacity : 0;
        store_release(&launch->phase, OPEN);
    }
    __syncthreads();
    Group g = group_of(ring);
    u32 width = ring->record_bytes / 16;
    for (u32 i = launch->skipped + g.index; i < launch->count; i += g.count)
        ring_put(ring, launch->first + i, g, records[(u64)i * width + g.lane]);
    if (is_last_block(launch, &flag) && threadIdx.x == 0) close_launch(launch);
}

// As in a user's kernel: every group pushes its own record, in unspecified order.
extern "C" __global__ void ring_push_each(Ring* ring, const uint4* records, u32 num, u32* num_taken) {
    Group g = group_of(ring);
    u32 width = ring->record_bytes / 16;
    for (u32 i = g.index; i < num; i += g.count)
        if (ring_push_record(ring, g, records[(u64)i * width + g.lane]) && g.lane == 0) add_both(num_taken, 1);
}

// Cursor `which` reads records from `ticket` on, clamped to the existing ones: 0 is the oldest, NOT_SUBSCRIBED - 1 the latest.
extern "C" __global__ void ring_subscribe(Ring* ring, u32 which, u64 ticket) {
    u64 tail = load_relaxed(&ring->reserved), oldest = tail > ring->capacity ? tail - ring->capacity : 0;
    if (ticket != NOT_SUBSCRIBED) ticket = ticket < oldest ? oldest : ticket > tail ? tail : ticket;
    store_release(&ring->cursors[which], ticket);
}

// Up to max records into out (max, record_bytes); statuses (max,). `result`, on the device, has the valid range.
extern "C" __global__ void ring_pop(Ring* ring, Launch* launch, u32 which, uint4* out, u32* statuses, Result* result, u32 max) {
    SHARED(u32, flag);
    SHARED(u32, start);
    SHARED(u32, end);
    if (threadIdx.x == 0 && opens(launch)) {
        u64 tail = load_acquire(&ring->reserved), cursor = load_relaxed(&ring->cursors[which]), lag = tail - cursor;
        launch->lost = lag > ring->capacity ? lag - ring->capacity : 0;
        launch->first = cursor + launch->lost;
        lag -= launch->lost;
        launch->count = lag < max ? (u32)lag : max;
        store_release(&launch->phase, OPEN);
    }
    __syncthreads();
    Group g = group_of(ring);
    u32 width = ring->record_bytes / 16, count = launch->count;
    for (u32 i = g.index; i < count; i += g.count) {
        u32 status = ring_get(ring, launch->first + i, g, out + (u64)i * width + g.lane);
        if (g.lane != 0) continue;
        store_relaxed(&statuses[i], status);
        if (status != WHOLE) add_both(&launch->num_not_whole, 1);
    }
    if (!is_last_block(launch, &flag)) return;
    if (threadIdx.x == 0) { start = 0; end = count; }
    __syncthreads();
    bool is_whole = load_relaxed(&launch->num_not_whole) == 0;
    for (u32 i = threadIdx.x; i < count && !is_whole; i += blockDim.x)  // everything up to the last overwritten record is lost
        if (load_relaxed(&statuses[i]) == LAPPED) atomicMax(&start, i + 1);
    __syncthreads();
    if (threadIdx.x == 0 && !is_whole)
        while (start < count && load_relaxed(&statuses[start]) == VOID) ++start;
    __syncthreads();
    for (u32 i = start + threadIdx.x; i < count && !is_whole; i += blockDim.x)  // an incomplete record or a void ends the batch
        if (load_relaxed(&statuses[i]) != WHOLE) atomicMin(&end, i);
    __syncthreads();
    if (threadIdx.x != 0) return;
    result->first_ticket = launch->first + start;
    result->lost = launch->lost + start;
    result->offset = start;
    result->count = end - start;
    store_release(&ring->cursors[which], launch->first + end);  // from here on a lossless writer may overwrite them
    close_launch(launch);
}
