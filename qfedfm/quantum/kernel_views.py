"""Views of arrays inside compiled code that own nothing: nothing to count, and little to compile."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_I64 = ir.IntType(64)


@intrinsic
def borrowed(typingctx, array):
    """The same array without ownership: its views cost no atomic counting of references."""

    def codegen(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), codegen


def _view(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """A view of ``array[first:last]``, in rows of a constant number of columns if it has two dimensions."""
    source, first, last = arguments[:3]
    array = context.make_array(signature.args[0])(context, builder, source)
    view = context.make_array(signature.return_type)(context, builder)
    size = ir.Constant(_I64, signature.return_type.dtype.bitwidth // 8)
    shape = [builder.sub(last, first)]
    strides = [size]
    if len(arguments) > 3:
        columns = arguments[3]
        shape = [builder.sdiv(shape[0], columns), columns]
        strides = [builder.mul(columns, size), size]
    context.populate_array(
        view,
        data=builder.gep(array.data, [first]),
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=size,
        meminfo=None,
    )
    return view._getvalue()


@intrinsic
def stretch(typingctx, array, first, last):
    """``array[first:last]`` of a contiguous array, without ownership (see :func:`borrowed`)."""
    return array(array, types.int64, types.int64), _view


@intrinsic
def rows_of(typingctx, array, first, last, columns):
    """:func:`stretch` as rows of ``columns`` numbers."""
    return array.copy(ndim=2)(array, types.int64, types.int64, types.int64), _view
