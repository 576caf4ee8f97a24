// SIMD vectors F32 and F64 for the instruction set that this translation unit is compiled for.
//
// Every set offers the same operations; kernels are templates over them and read like formulas.
//
//   V(x)                      the scalar x in every lane
//   V::load(p)                lanes from p; 16-bit elements widen to float, float widens to double
//   V::load_first(p, n, fill) the first n lanes from p, the others = fill; reads no further than p + n
//   v.store(p), v.store_first(p, n), v.stream(p)    stream: past the caches, p aligned to the vector
//   + - * /                   one rounding each, never contracted
//   multiply_add(a, b, c)     a*b + c; one rounding where fused_multiply_add, two where not
//   fused_by_lane(a, b, c)    the generic set only: one rounding, by the C library if need be
//   maximum(a, b)             NaN if b is NaN
//   subtract_bits(a, b)       the difference of the lanes' bit patterns, as integers
//   lookup8(table, k)         table[k mod 8], k the integer in the lane's bits
//   exponent_field(k)         the power of two whose biased exponent is ⌊k/8⌋
//   equal, less -> Mask;  select(mask, a, b);  any(mask);  count(mask)
//   largest(v)                maximum over the lanes
//   lower(f32), upper(f32)    the halves of an F32 as F64;  join(lo, hi) rounds them back
//   transpose(v)              v[0 .. lanes - 1] as a square matrix
//   exponent(v), ldexp_floor(v, y)    F64 only: floor(log2(v)) of a normal v > 0; v * 2^floor(y)
//
// Everything lives in a namespace named after the set: the linker would otherwise be free to keep
// the AVX-512 copy of an inline function for every caller, and older machines would crash in it.
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
