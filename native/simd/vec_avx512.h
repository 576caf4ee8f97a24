// AVX-512 (F, DQ, BW, VL): 16 floats, 8 doubles.
#pragma once

#include <immintrin.h>

namespace softgrad::avx512 {

// Makes streamed stores visible before whatever follows.
inline void store_fence() { _mm_sfence(); }

inline constexpr char set_name[] = "avx512";
inline constexpr bool fused_multiply_add = true;

inline __mmask16 first_lanes16(int n) { return static_cast<__mmask16>((1u << n) - 1); }
inline __mmask8 first_lanes8(int n) { return static_cast<__mmask8>((1u << n) - 1); }

struct F32 {
  using Scalar = float;
  using Mask = __mmask16;
  static constexpr int lanes = 16;
  __m512 v;

  F32() = default;
  F32(__m512 x) : v(x) {}
  F32(float x) : v(_mm512_set1_ps(x)) {}

  static F32 load(const float* p) { return _mm512_loadu_ps(p); }
  static F32 load(const Half* p) { return widen_half(_mm256_loadu_si256((const __m256i*)p)); }
  static F32 load(const BFloat16* p) { return widen_bfloat16(_mm256_loadu_si256((const __m256i*)p)); }

  static F32 load_first(const float* p, int n, float fill) {
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), first_lanes16(n), p);
  }
  static F32 load_first(const Half* p, int n, float fill) {
    __mmask16 m = first_lanes16(n);
    return _mm512_mask_mov_ps(_mm512_set1_ps(fill), m, widen_half(_mm256_maskz_loadu_epi16(m, p)).v);
  }
  static F32 load_first(const BFloat16* p, int n, float fill) {
    __mmask16 m = first_lanes16(n);
    return _mm512_mask_mov_ps(_mm512_set1_ps(fill), m, widen_bfloat16(_mm256_maskz_loadu_epi16(m, p)).v);
  }

  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store(Half* p) const { _mm256_storeu_si256((__m256i*)p, to_half()); }
  void store(BFloat16* p) const { _mm256_storeu_si256((__m256i*)p, to_bfloat16()); }
  void store_first(float* p, int n) const { _mm512_mask_storeu_ps(p, first_lanes16(n), v); }
  void store_first(Half* p, int n) const { _mm256_mask_storeu_epi16(p, first_lanes16(n), to_half()); }
  void store_first(BFloat16* p, int n) const { _mm256_mask_storeu_epi16(p, first_lanes16(n), to_bfloat16()); }
  void stream(float* p) const { _mm512_stream_ps(p, v); }
  void stream(Half* p) const { _mm256_stream_si256((__m256i*)p, to_half()); }
  void stream(BFloat16* p) const { _mm256_stream_si256((__m256i*)p, to_bfloat16()); }

 private:
  static F32 widen_half(__m256i h) { return _mm512_cvtph_ps(h); }
  static F32 widen_bfloat16(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
  __m256i to_half() const { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // Round to nearest, ties to even; a NaN stays a quiet NaN.
  __m256i to_bfloat16() const {
    __m512i bits = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
  }
};

inline F32 operator+(F32 a, F32 b) { return _mm512_add_ps(a.v, b.v); }
inline F32 operator-(F32 a, F32 b) { return _mm512_sub_ps(a.v, b.v); }
inline F32 operator*(F32 a, F32 b) { return _mm512_mul_ps(a.v, b.v); }
inline F32 operator/(F32 a, F32 b) { return _mm512_div_ps(a.v, b.v); }
inline F32 multiply_add(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
inline F32 maximum(F32 a, F32 b) { return _mm512_max_ps(a.v, b.v); }
inline F32 subtract_bits(F32 a, F32 b) {
  return _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v)));
}
inline F32 exponent_field(F32 k_bits) {
  __m512i whole = _mm512_and_si512(_mm512_castps_si512(k_bits.v), _mm512_set1_epi32(~7));
  return _mm512_castsi512_ps(_mm512_slli_epi32(whole, 20));
}
inline F32 lookup8(const float* table, F32 k_bits) {
  // Twice the eight entries: the permutation reads four bits of each index.
  __m512 entries = _mm512_broadcast_f32x8(_mm256_loadu_ps(table));
  return _mm512_permutexvar_ps(_mm512_castps_si512(k_bits.v), entries);
}
inline __mmask16 equal(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ); }
inline __mmask16 less(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
inline F32 select(__mmask16 m, F32 a, F32 b) { return _mm512_mask_mov_ps(b.v, m, a.v); }
inline bool any(__mmask16 m) { return m != 0; }
inline int count(__mmask16 m) { return __builtin_popcount(m); }
inline float largest(F32 a) { return _mm512_reduce_max_ps(a.v); }

struct F64 {
  using Scalar = double;
  using Mask = __mmask8;
  static constexpr int lanes = 8;
  __m512d v;

  F64() = default;
  F64(__m512d x) : v(x) {}
  F64(double x) : v(_mm512_set1_pd(x)) {}

  static F64 load(const double* p) { return _mm512_loadu_pd(p); }
  static F64 load(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
  static F64 load_first(const double* p, int n, double fill) {
    return _mm512_mask_loadu_pd(_mm512_set1_pd(fill), first_lanes8(n), p);
  }
  static F64 load_first(const float* p, int n, double fill) {
    __m512d x = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(first_lanes8(n), p));
    return _mm512_mask_mov_pd(_mm512_set1_pd(fill), first_lanes8(n), x);
  }
  void store(double* p) const { _mm512_storeu_pd(p, v); }
  void store(float* p) const { _mm256_storeu_ps(p, _mm512_cvtpd_ps(v)); }
  void store_first(double* p, int n) const { _mm512_mask_storeu_pd(p, first_lanes8(n), v); }
  void store_first(float* p, int n) const { _mm256_mask_storeu_ps(p, first_lanes8(n), _mm512_cvtpd_ps(v)); }
  void stream(double* p) const { _mm512_stream_pd(p, v); }
};

inline F64 operator+(F64 a, F64 b) { return _mm512_add_pd(a.v, b.v); }
inline F64 operator-(F64 a, F64 b) { return _mm512_sub_pd(a.v, b.v); }
inline F64 operator*(F64 a, F64 b) { return _mm512_mul_pd(a.v, b.v); }
inline F64 operator/(F64 a, F64 b) { return _mm512_div_pd(a.v, b.v); }
inline F64 multiply_add(F64 a, F64 b, F64 c) { return _mm512_fmadd_pd(a.v, b.v, c.v); }
inline F64 maximum(F64 a, F64 b) { return _mm512_max_pd(a.v, b.v); }
inline F64 ldexp_floor(F64 a, F64 y) { return _mm512_scalef_pd(a.v, y.v); }
inline F64 subtract_bits(F64 a, F64 b) {
  return _mm512_castsi512_pd(_mm512_sub_epi64(_mm512_castpd_si512(a.v), _mm512_castpd_si512(b.v)));
}
inline F64 exponent_field(F64 k_bits) {
  __m512i whole = _mm512_and_si512(_mm512_castpd_si512(k_bits.v), _mm512_set1_epi64(~7));
  return _mm512_castsi512_pd(_mm512_slli_epi64(whole, 49));
}
inline F64 lookup8(const double* table, F64 k_bits) {
  return _mm512_permutexvar_pd(_mm512_castpd_si512(k_bits.v), _mm512_loadu_pd(table));
}
inline __mmask8 equal(F64 a, F64 b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
inline __mmask8 less(F64 a, F64 b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ); }
inline F64 select(__mmask8 m, F64 a, F64 b) { return _mm512_mask_mov_pd(b.v, m, a.v); }
inline bool any(__mmask8 m) { return m != 0; }
inline int count(__mmask8 m) { return __builtin_popcount(m); }
inline double largest(F64 a) { return _mm512_reduce_max_pd(a.v); }
inline F64 exponent(F64 a) { return _mm512_getexp_pd(a.v); }

[[gnu::always_inline]] inline void transpose(F32* r) {
  F32 t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  auto low = [](F32 a, F32 b) {
    return F32(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a.v), _mm512_castps_pd(b.v))));
  };
  auto high = [](F32 a, F32 b) {
    return F32(_mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a.v), _mm512_castps_pd(b.v))));
  };
  for (int i = 0; i < 16; i += 4) {
    r[i] = low(t[i], t[i + 2]);
    r[i + 1] = high(t[i], t[i + 2]);
    r[i + 2] = low(t[i + 1], t[i + 3]);
    r[i + 3] = high(t[i + 1], t[i + 3]);
  }
  // Quarter k of r[4i + j] now holds column 4k + j of rows 4i to 4i + 3.
  auto even = [](F32 a, F32 b) { return F32(_mm512_shuffle_f32x4(a.v, b.v, 0x88)); };
  auto odd = [](F32 a, F32 b) { return F32(_mm512_shuffle_f32x4(a.v, b.v, 0xdd)); };
  for (int j = 0; j < 4; ++j) {
    t[j] = even(r[j], r[4 + j]);
    t[4 + j] = odd(r[j], r[4 + j]);
    t[8 + j] = even(r[8 + j], r[12 + j]);
    t[12 + j] = odd(r[8 + j], r[12 + j]);
  }
  for (int j = 0; j < 4; ++j) {
    r[j] = even(t[j], t[8 + j]);
    r[4 + j] = even(t[4 + j], t[12 + j]);
    r[8 + j] = odd(t[j], t[8 + j]);
    r[12 + j] = odd(t[4 + j], t[12 + j]);
  }
}
[[gnu::always_inline]] inline void transpose(F64* r) {
  F64 t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm512_unpacklo_pd(r[i].v, r[i + 1].v);
    t[i + 1] = _mm512_unpackhi_pd(r[i].v, r[i + 1].v);
  }
  // Quarter k of t[2i + j] now holds column 2k + j of rows 2i and 2i + 1.
  auto even = [](F64 a, F64 b) { return F64(_mm512_shuffle_f64x2(a.v, b.v, 0x88)); };
  auto odd = [](F64 a, F64 b) { return F64(_mm512_shuffle_f64x2(a.v, b.v, 0xdd)); };
  for (int j = 0; j < 2; ++j) {
    r[j] = even(t[j], t[2 + j]);
    r[2 + j] = odd(t[j], t[2 + j]);
    r[4 + j] = even(t[4 + j], t[6 + j]);
    r[6 + j] = odd(t[4 + j], t[6 + j]);
  }
  for (int j = 0; j < 2; ++j) {
    t[j] = even(r[j], r[4 + j]);
    t[2 + j] = even(r[2 + j], r[6 + j]);
    t[4 + j] = odd(r[j], r[4 + j]);
    t[6 + j] = odd(r[2 + j], r[6 + j]);
  }
  for (int i = 0; i < 8; ++i) r[i] = t[i];
}

inline F64 lower(F32 a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a.v)); }
inline F64 upper(F32 a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1)); }
inline F32 join(F64 a, F64 b) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.v)), _mm512_cvtpd_ps(b.v), 1);
}

}  // namespace softgrad::avx512
