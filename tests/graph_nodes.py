"""What a captured CUDA graph launches, asked of the driver: for tests on a device."""

import ctypes

KERNEL, COPY, FILL = 0, 1, 2  # CUgraphNodeType


class KernelNode(ctypes.Structure):
    """CUDA_KERNEL_NODE_PARAMS_v2."""

    _fields_ = [
        ("func", ctypes.c_void_p),
        ("sizes", ctypes.c_uint * 7),  # grid, block, shared memory
        ("kernel_params", ctypes.c_void_p),
        ("extra", ctypes.c_void_p),
        ("kernel", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
    ]


def names_of_nodes(graph):
    """The name of each kernel that a graph launches; "copy", "fill" or "other" for what is none.

    Parameters
    ----------
    graph : int
        A ``cudaGraph_t``.
    """
    driver = ctypes.CDLL("libcuda.so.1")

    def call(name, *arguments):
        error = getattr(driver, name)(*arguments)
        assert error == 0, f"{name}: error {error}"

    graph, count = ctypes.c_void_p(graph), ctypes.c_size_t()
    call("cuGraphGetNodes", graph, None, ctypes.byref(count))
    nodes = (ctypes.c_void_p * count.value)()
    call("cuGraphGetNodes", graph, nodes, ctypes.byref(count))
    return [_name(call, ctypes.c_void_p(node)) for node in nodes]


def _name(call, node):
    kind = ctypes.c_int()
    call("cuGraphNodeGetType", node, ctypes.byref(kind))
    if kind.value != KERNEL:
        return {COPY: "copy", FILL: "fill"}.get(kind.value, "other")
    what, name = KernelNode(), ctypes.c_char_p()
    call("cuGraphKernelNodeGetParams_v2", node, ctypes.byref(what))
    if what.func:
        call("cuFuncGetName", ctypes.byref(name), ctypes.c_void_p(what.func))
    else:
        call("cuKernelGetName", ctypes.byref(name), ctypes.c_void_p(what.kernel))
    return name.value.decode()
