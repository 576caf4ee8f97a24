// SIMD vectors F32 and F64 of the instruction set that this translation unit is compiled for. All sets have the same
// operations, which kernels are templates over:
//
//   V(x)                      the scalar x in every lane
//   V::load(p)                lanes from p; 16-bit elements widen to float, float widens to double
//   V::load_first(p, n, fill) the first n lanes from p, the others = fill; reads no further than p + n
//   v.store(p), v.store_first(p, n), v.stream(p)    stream: past the caches, p aligned to the vector
//   + - * /                   one rounding each, never contracted
//   multiply_add(a, b, c)     a*b + c; rounded once if fused_multiply_add, else twice
//   fused_by_lane(a, b, c)    the generic set only: rounded once, by the C library if the machine cannot
//   maximum(a, b)             NaN if b is NaN
//   subtract_bits(a, b)       the difference of the bit patterns of the lanes, as integers
//   lookup8(table, k)         table[k mod 8], k the integer in the lane's bits
//   exponent_field(k)         the power of two whose biased exponent is ⌊k/8⌋
//   equal, less -> Mask;  select(mask, a, b): a where the mask is set;  any(mask);  count(mask)
//   largest(v)                maximum over the lanes
//   lower(f32), upper(f32)    the halves of an F32 as F64;  join(lo, hi) rounds them back
//   transpose(v)              v[0 .. lanes - 1] as a square matrix
//   exponent(v), ldexp_floor(v, y)    F64 only: floor(log2(v)) of a normal v > 0; v * 2^floor(y)
//   set_name                  the name of the set: a string
//
// All of it is in a namespace named after the set. The linker keeps one copy of an inline function: it could be the
// one compiled for AVX-512, which crashes on older machines. Hence no templates of the standard library either, and
// functions of structs that all sets share are always_inline.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/dtype.h"

#if defined(SOFTGRAD_COMPILE_AVX512)
#define SOFTGRAD_ISA avx512
#include "simd/vec_avx512.h"
#elif defined(SOFTGRAD_COMPILE_AVX2)
#define SOFTGRAD_ISA avx2
#include "simd/vec_avx2.h"
#else
#define SOFTGRAD_ISA generic
#include "simd/vec_generic.h"
#endif
