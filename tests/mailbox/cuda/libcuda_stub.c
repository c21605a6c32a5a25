// libcuda's functions as far as the mailboxes call them, on host memory: so that the real driver's code runs without a GPU.
// With WITH_CUDA_H the prototypes are NVIDIA's own, and a wrong one does not compile.
#include <stdlib.h>
#include <string.h>
#ifdef WITH_CUDA_H
#include <cuda.h>
#else
typedef int CUresult, CUdevice, CUdevice_attribute, CUpointer_attribute, CUstreamCaptureStatus;
typedef unsigned long long CUdeviceptr;
typedef unsigned int cuuint32_t;
typedef struct context* CUcontext;
typedef struct CUevent_st* CUevent;
typedef struct stream* CUstream;
typedef struct { char reserved[64]; } CUipcMemHandle, CUipcEventHandle;
#define CUDAAPI
#endif

struct CUevent_st { int is_recorded; unsigned int flags; };
static int is_held, num_allocated, num_registered;  // what a test may set and read
static CUcontext current, below;
static int capturing;

void stub_hold(int held) { is_held = held; }
void stub_capture(int on) { capturing = on; }
int stub_has_context(void) { return current != 0; }
int stub_allocated(void) { return num_allocated; }
int stub_registered(void) { return num_registered; }

CUresult CUDAAPI cuInit(unsigned int flags) { return flags; }
CUresult CUDAAPI cuGetErrorString(CUresult error, const char** text) { *text = (int)error == 2 ? "out of memory" : "stub error"; return 0; }
CUresult CUDAAPI cuDeviceGetCount(int* count) { *count = 1; return 0; }
CUresult CUDAAPI cuDeviceGet(CUdevice* device, int ordinal) { *device = ordinal; return 0; }
CUresult CUDAAPI cuDeviceGetName(char* name, int len, CUdevice device) { (void)device; strncpy(name, "Stub", len); return 0; }
CUresult CUDAAPI cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
    (void)device;
    *value = (int)attribute == 75 ? 9 : 0;  // compute capability 9.0, not integrated
    return 0;
}
CUresult CUDAAPI cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) { *can = device != peer; return 0; }
CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) { *context = (CUcontext)(size_t)(4096 + device); return 0; }
CUresult CUDAAPI cuCtxGetCurrent(CUcontext* context) { *context = current; return 0; }
CUresult CUDAAPI cuCtxPushCurrent_v2(CUcontext context) { below = current; current = context; return 0; }
CUresult CUDAAPI cuCtxPopCurrent_v2(CUcontext* context) { *context = current; current = below; return 0; }
CUresult CUDAAPI cuCtxEnablePeerAccess(CUcontext context, unsigned int flags) { (void)context; return flags ? 1 : 704; }
CUresult CUDAAPI cuMemAlloc_v2(CUdeviceptr* address, size_t size) {
    if (!current) return 201;
    if (size > 1ull << 40) return 2;
    ++num_allocated;
    *address = (CUdeviceptr)aligned_alloc(256, (size + 255) / 256 * 256);
    return 0;
}
CUresult CUDAAPI cuMemFree_v2(CUdeviceptr address) { --num_allocated; free((void*)address); return 0; }
CUresult CUDAAPI cuMemHostAlloc(void** host, size_t size, unsigned int flags) {
    if (flags != 3) return 1;
    ++num_allocated;
    *host = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    return 0;
}
CUresult CUDAAPI cuMemFreeHost(void* host) { --num_allocated; free(host); return 0; }
CUresult CUDAAPI cuMemHostRegister_v2(void* host, size_t size, unsigned int flags) {
    if ((size_t)host % 4096 || !size || flags != 3) return 1;
    ++num_registered;
    return 0;
}
CUresult CUDAAPI cuMemHostUnregister(void* host) { (void)host; --num_registered; return 0; }
CUresult CUDAAPI cuMemHostGetDevicePointer_v2(CUdeviceptr* address, void* host, unsigned int flags) {
    *address = (CUdeviceptr)host;
    return flags;
}
CUresult CUDAAPI cuMemsetD8_v2(CUdeviceptr address, unsigned char value, size_t size) { memset((void*)address, value, size); return 0; }
CUresult CUDAAPI cuMemcpyAsync(CUdeviceptr target, CUdeviceptr source, size_t size, CUstream stream) {
    (void)stream;
    memmove((void*)target, (void*)source, size);
    return 0;
}
CUresult CUDAAPI cuEventCreate(CUevent* event, unsigned int flags) {
    *event = calloc(1, sizeof(**event));
    (*event)->flags = flags;
    return flags & 2 ? 0 : 1;
}
CUresult CUDAAPI cuEventRecord(CUevent event, CUstream stream) { (void)stream; event->is_recorded = 1; return current ? 0 : 201; }
CUresult CUDAAPI cuEventQuery(CUevent event) { return event->is_recorded && is_held ? 600 : 0; }
CUresult CUDAAPI cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags) { (void)stream; return event ? flags : 1; }
CUresult CUDAAPI cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned int flags) {
    (void)stream; (void)value;
    return address % 4 ? 1 : flags;
}
CUresult CUDAAPI cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) { (void)stream; *status = capturing; return 0; }
CUresult CUDAAPI cuStreamSynchronize(CUstream stream) { (void)stream; return 0; }
CUresult CUDAAPI cuStreamQuery(CUstream stream) { (void)stream; return is_held ? 600 : 0; }
CUresult CUDAAPI cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr address) {
    *(int*)data = (int)attribute == 10 && address % 256 == 0;
    return 0;
}
CUresult CUDAAPI cuIpcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr address) { memcpy(handle, &address, 8); return 0; }
CUresult CUDAAPI cuIpcOpenMemHandle_v2(CUdeviceptr* address, CUipcMemHandle handle, unsigned int flags) {
    memcpy(address, &handle, 8);
    return flags == 1 ? 0 : 1;
}
CUresult CUDAAPI cuIpcCloseMemHandle(CUdeviceptr address) { return address ? 0 : 1; }
CUresult CUDAAPI cuIpcGetEventHandle(CUipcEventHandle* handle, CUevent event) {
    memcpy(handle, &event, 8);
    return event->flags & 4 ? 0 : 1;
}
CUresult CUDAAPI cuIpcOpenEventHandle(CUevent* event, CUipcEventHandle handle) { memcpy(event, &handle, 8); return 0; }
