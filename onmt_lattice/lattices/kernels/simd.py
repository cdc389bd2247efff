"""Vectors for kernels: operations on 64 bytes of numbers at once.

By itself numba vectorizes only loops in which it can prove that no two arrays share memory. A
kernel that loads, computes and stores vectors does not depend on that. LLVM splits them to the
machine's width; each number has the same result as if computed alone.

``+ - * /`` take vectors, or a vector and a number, which is first rounded to the vector's dtype.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable
from numba.np.arrayobj import make_array

BYTES = 64

# Decorated functions are called without their first argument, the typing context.
generated: Callable[..., Any] = intrinsic


class Vector(types.Type):
    """The type of a vector of ``lanes`` numbers, floating-point or integers."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.lanes = 8 * BYTES // dtype.bitwidth
        super().__init__(name=f"Vector({dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        number = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(number, vector.lanes))


@generated
def load(typing: Any, array: Any, row: Any) -> Any:
    """Return the ``row``-th 64 bytes of ``array``, contiguous."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args, arguments)
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return Vector(array.dtype)(array, row), generate


@generated
def store(typing: Any, array: Any, row: Any, vector: Any) -> Any:
    """Set the ``row``-th 64 bytes of ``array``, contiguous."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args, arguments)
        builder.store(arguments[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, row, vector), generate


@generated
def store_as(typing: Any, array: Any, row: Any, vector: Any) -> Any:
    """Set row ``row`` of ``array``, contiguous integers, to the numbers of ``vector``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = ir.VectorType(context.get_value_type(array.dtype), vector.lanes)
        address = _address(context, builder, signature.args, arguments, numbers)
        convert = builder.fptosi if _is_float(vector) else builder.trunc
        builder.store(convert(arguments[2], numbers), address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, row, vector), generate


@generated
def spread(typing: Any, array: Any, number: Any) -> Any:
    """Return a vector of ``number``, of the dtype of ``array``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, kind = signature.return_type, signature.args[1]
        return _widened(context, builder, vector, kind, arguments[1])

    return Vector(array.dtype)(array, number), generate


@generated
def if_less(typing: Any, a: Any, b: Any, then: Any, otherwise: Any) -> Any:
    """Return ``then`` where a < b, else ``otherwise``; comparisons with NaN are false."""
    vector = next(kind for kind in (a, b) if isinstance(kind, Vector))

    def emit(builder: Any, a: Any, b: Any, then: Any, otherwise: Any) -> Any:
        compare = builder.fcmp_ordered if _is_float(vector) else builder.icmp_signed
        return builder.select(compare("<", a, b), then, otherwise)

    return _lanewise(emit, a, b, then, otherwise)


@generated
def power_of_2(typing: Any, vector: Any) -> Any:
    """Return 2^k of a vector of whole float64 numbers k from −1022 to 1023."""

    def emit(builder: Any, vector: Any) -> Any:
        kind = ir.VectorType(ir.IntType(64), vector.type.count)
        bias, shift = (ir.Constant(kind, [n] * kind.count) for n in (1023, 52))
        exponent = builder.add(builder.fptosi(vector, kind), bias)
        return builder.bitcast(builder.shl(exponent, shift), vector.type)

    return _lanewise(emit, vector)


def _address(
    context: Any, builder: Any, kinds: Any, arguments: Any, vector: Any | None = None
) -> Any:
    """Return a pointer to the vector at the row given by two arguments, array and row."""
    data = make_array(kinds[0])(context, builder, arguments[0]).data
    vector = vector or context.get_value_type(Vector(kinds[0].dtype))
    row = context.cast(builder, arguments[1], kinds[1], types.intp)
    return builder.gep(builder.bitcast(data, vector.as_pointer()), [row])


def _lanewise(emit: Callable[..., Any], *kinds: Any) -> Any:
    """Return signature and code of an operation on vectors and numbers of one dtype."""
    vector = next(kind for kind in kinds if isinstance(kind, Vector))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pairs = zip(signature.args, arguments, strict=True)
        return emit(builder, *(_widened(context, builder, vector, *pair) for pair in pairs))

    return vector(*kinds), generate


def _widened(context: Any, builder: Any, vector: Vector, kind: Any, value: Any) -> Any:
    """Return ``value``; a number becomes a vector with it in all lanes."""
    if kind == vector:
        return value
    number = context.cast(builder, value, kind, vector.dtype)
    index = ir.IntType(32)
    first = ir.Constant(context.get_value_type(vector), ir.Undefined)
    first = builder.insert_element(first, number, ir.Constant(index, 0))
    lanes = ir.Constant(ir.VectorType(index, vector.lanes), [0] * vector.lanes)
    return builder.shuffle_vector(first, first, lanes)


def _is_float(vector: Vector) -> bool:
    return isinstance(vector.dtype, types.Float)


def _define_operator(operation: Callable[..., Any], floats: str, integers: str) -> None:
    """Define ``operation`` of two vectors, or of a vector and a number, as an LLVM instruction.

    It is lowered directly: an ``overload`` would compile one more function for each pair of types.
    """

    @type_callable(operation)
    def type_of(context: Any) -> Any:
        def result(a: Any, b: Any) -> Any:
            return next((kind for kind in (a, b) if isinstance(kind, Vector)), None)

        return result

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pairs = zip(signature.args, arguments, strict=True)
        both = (_widened(context, builder, signature.return_type, *pair) for pair in pairs)
        return getattr(builder, floats if _is_float(signature.return_type) else integers)(*both)

    for kinds in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(operation, *kinds)(generate)


def _function(name: str) -> Any:
    """Return LLVM's intrinsic ``name`` as a function of a vector."""

    def emit(builder: Any, vector: Any) -> Any:
        kind = vector.type
        width = {"float": 32, "double": 64}[str(kind.element)]
        signature = ir.FunctionType(kind, [kind])
        function = f"llvm.{name}.v{kind.count}f{width}"
        return builder.call(
            cgutils.get_or_insert_function(builder.module, signature, function), [vector]
        )

    @generated
    def calculate(typing: Any, vector: Any) -> Any:
        return _lanewise(emit, vector)

    return calculate


for _operation, *_instructions in (
    (operator.add, "fadd", "add"),
    (operator.sub, "fsub", "sub"),
    (operator.mul, "fmul", "mul"),
    (operator.truediv, "fdiv", ""),
    (operator.and_, "", "and_"),
):
    _define_operator(_operation, *_instructions)

rint, floor, size = map(_function, ("rint", "floor", "fabs"))
