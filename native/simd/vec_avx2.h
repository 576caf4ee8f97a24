// AVX2 with FMA and F16C: 8 floats, 4 doubles.
#pragma once

#include <immintrin.h>

namespace softgrad::avx2 {

// Makes streamed stores visible before whatever follows.
inline void store_fence() { _mm_sfence(); }

inline constexpr char set_name[] = "avx2";
inline constexpr bool fused_multiply_add = true;

inline __m256i first_lanes8(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline __m256i first_lanes4(int n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }

struct F32 {
  using Scalar = float;
  using Mask = __m256;
  static constexpr int lanes = 8;
  __m256 v;

  F32() = default;
  F32(__m256 x) : v(x) {}
  F32(float x) : v(_mm256_set1_ps(x)) {}

  static F32 load(const float* p) { return _mm256_loadu_ps(p); }
  static F32 load(const Half* p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
  static F32 load(const BFloat16* p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static F32 load_first(const float* p, int n, float fill) {
    __m256i m = first_lanes8(n);
    return _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, m), _mm256_castsi256_ps(m));
  }
  template <class Narrow>
  static F32 load_first(const Narrow* p, int n, float fill) {
    Narrow buffer[lanes] = {};
    __builtin_memcpy(buffer, p, n * sizeof(Narrow));
    return _mm256_blendv_ps(_mm256_set1_ps(fill), load(buffer).v, _mm256_castsi256_ps(first_lanes8(n)));
  }

  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store(Half* p) const { _mm_storeu_si128((__m128i*)p, to_half()); }
  void store(BFloat16* p) const { _mm_storeu_si128((__m128i*)p, to_bfloat16()); }
  void store_first(float* p, int n) const { _mm256_maskstore_ps(p, first_lanes8(n), v); }
  template <class Narrow>
  void store_first(Narrow* p, int n) const {
    Narrow buffer[lanes];
    store(buffer);
    __builtin_memcpy(p, buffer, n * sizeof(Narrow));
  }
  void stream(float* p) const { _mm256_stream_ps(p, v); }
  void stream(Half* p) const { _mm_stream_si128((__m128i*)p, to_half()); }
  void stream(BFloat16* p) const { _mm_stream_si128((__m128i*)p, to_bfloat16()); }

 private:
  __m128i to_half() const { return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
  // Round to nearest, ties to even; a NaN stays a quiet NaN.
  __m128i to_bfloat16() const {
    __m256i bits = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    rounded = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
    return _mm256_castsi256_si128(packed);
  }
};

inline F32 operator+(F32 a, F32 b) { return _mm256_add_ps(a.v, b.v); }
inline F32 operator-(F32 a, F32 b) { return _mm256_sub_ps(a.v, b.v); }
inline F32 operator*(F32 a, F32 b) { return _mm256_mul_ps(a.v, b.v); }
inline F32 operator/(F32 a, F32 b) { return _mm256_div_ps(a.v, b.v); }
inline F32 multiply_add(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
inline F32 maximum(F32 a, F32 b) { return _mm256_max_ps(a.v, b.v); }
inline F32 subtract_bits(F32 a, F32 b) {
  return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(a.v), _mm256_castps_si256(b.v)));
}
inline F32 exponent_field(F32 k_bits) {
  __m256i whole = _mm256_and_si256(_mm256_castps_si256(k_bits.v), _mm256_set1_epi32(~7));
  return _mm256_castsi256_ps(_mm256_slli_epi32(whole, 20));
}
inline F32 lookup8(const float* table, F32 k_bits) {
  return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), _mm256_castps_si256(k_bits.v));
}
inline __m256 equal(F32 a, F32 b) { return _mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ); }
inline __m256 less(F32 a, F32 b) { return _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ); }
inline F32 select(__m256 m, F32 a, F32 b) { return _mm256_blendv_ps(b.v, a.v, m); }
inline bool any(__m256 m) { return _mm256_movemask_ps(m) != 0; }
inline int count(__m256 m) { return __builtin_popcount(_mm256_movemask_ps(m)); }
inline float largest(F32 a) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

struct F64 {
  using Scalar = double;
  using Mask = __m256d;
  static constexpr int lanes = 4;
  __m256d v;

  F64() = default;
  F64(__m256d x) : v(x) {}
  F64(double x) : v(_mm256_set1_pd(x)) {}

  static F64 load(const double* p) { return _mm256_loadu_pd(p); }
  static F64 load(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
  static F64 load_first(const double* p, int n, double fill) {
    __m256i m = first_lanes4(n);
    return _mm256_blendv_pd(_mm256_set1_pd(fill), _mm256_maskload_pd(p, m), _mm256_castsi256_pd(m));
  }
  static F64 load_first(const float* p, int n, double fill) {
    float buffer[lanes] = {};
    __builtin_memcpy(buffer, p, n * sizeof(float));
    return _mm256_blendv_pd(_mm256_set1_pd(fill), load(buffer).v, _mm256_castsi256_pd(first_lanes4(n)));
  }
  void store(double* p) const { _mm256_storeu_pd(p, v); }
  void store(float* p) const { _mm_storeu_ps(p, _mm256_cvtpd_ps(v)); }
  void store_first(double* p, int n) const { _mm256_maskstore_pd(p, first_lanes4(n), v); }
  void store_first(float* p, int n) const {
    float buffer[lanes];
    store(buffer);
    __builtin_memcpy(p, buffer, n * sizeof(float));
  }
  void stream(double* p) const { _mm256_stream_pd(p, v); }
};

inline F64 operator+(F64 a, F64 b) { return _mm256_add_pd(a.v, b.v); }
inline F64 operator-(F64 a, F64 b) { return _mm256_sub_pd(a.v, b.v); }
inline F64 operator*(F64 a, F64 b) { return _mm256_mul_pd(a.v, b.v); }
inline F64 operator/(F64 a, F64 b) { return _mm256_div_pd(a.v, b.v); }
inline F64 multiply_add(F64 a, F64 b, F64 c) { return _mm256_fmadd_pd(a.v, b.v, c.v); }
inline F64 maximum(F64 a, F64 b) { return _mm256_max_pd(a.v, b.v); }

inline F64 ldexp_floor(F64 a, F64 y) {
  __m256d floor = _mm256_max_pd(_mm256_set1_pd(-1023), _mm256_floor_pd(y.v));
  // AVX2 does not convert doubles to 64-bit integers; 1.5·2^52 leaves them in the low mantissa.
  __m256d biased = _mm256_add_pd(_mm256_add_pd(floor, _mm256_set1_pd(1023)), _mm256_set1_pd(0x1.8p52));
  return _mm256_mul_pd(a.v, _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(biased), 52)));
}
inline F64 subtract_bits(F64 a, F64 b) {
  return _mm256_castsi256_pd(_mm256_sub_epi64(_mm256_castpd_si256(a.v), _mm256_castpd_si256(b.v)));
}
inline F64 exponent_field(F64 k_bits) {
  __m256i whole = _mm256_and_si256(_mm256_castpd_si256(k_bits.v), _mm256_set1_epi64x(~7));
  return _mm256_castsi256_pd(_mm256_slli_epi64(whole, 49));
}
inline F64 lookup8(const double* table, F64 k_bits) {
  __m256i index = _mm256_and_si256(_mm256_castpd_si256(k_bits.v), _mm256_set1_epi64x(7));
  return _mm256_i64gather_pd(table, index, 8);
}
inline __m256d equal(F64 a, F64 b) { return _mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ); }
inline __m256d less(F64 a, F64 b) { return _mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ); }
inline F64 select(__m256d m, F64 a, F64 b) { return _mm256_blendv_pd(b.v, a.v, m); }
inline bool any(__m256d m) { return _mm256_movemask_pd(m) != 0; }
inline int count(__m256d m) { return __builtin_popcount(_mm256_movemask_pd(m)); }
inline double largest(F64 a) {
  __m128d x = _mm_max_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_max_sd(x, _mm_unpackhi_pd(x, x)));
}
inline F64 exponent(F64 a) {
  // The biased exponent as the mantissa of 2^52 + exponent, then without the 2^52 and the bias.
  __m256i biased = _mm256_srli_epi64(_mm256_castpd_si256(a.v), 52);
  __m256d shifted = _mm256_castsi256_pd(_mm256_or_si256(biased, _mm256_set1_epi64x(0x4330000000000000)));
  return _mm256_sub_pd(shifted, _mm256_set1_pd(0x1p52 + 1023));
}

[[gnu::always_inline]] inline void transpose(F32* r) {
  F32 t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i].v, r[i + 1].v);
    t[i + 1] = _mm256_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i].v, t[i + 2].v, 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i].v, t[i + 2].v, 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1].v, t[i + 3].v, 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1].v, t[i + 3].v, 0xee);
  }
  // Half k of r[4i + j] now holds column 4k + j of rows 4i to 4i + 3.
  for (int j = 0; j < 4; ++j) {
    t[j] = _mm256_permute2f128_ps(r[j].v, r[4 + j].v, 0x20);
    t[4 + j] = _mm256_permute2f128_ps(r[j].v, r[4 + j].v, 0x31);
  }
  for (int i = 0; i < 8; ++i) r[i] = t[i];
}
[[gnu::always_inline]] inline void transpose(F64* r) {
  F64 a = _mm256_unpacklo_pd(r[0].v, r[1].v), b = _mm256_unpackhi_pd(r[0].v, r[1].v);
  F64 c = _mm256_unpacklo_pd(r[2].v, r[3].v), d = _mm256_unpackhi_pd(r[2].v, r[3].v);
  r[0] = _mm256_permute2f128_pd(a.v, c.v, 0x20);
  r[1] = _mm256_permute2f128_pd(b.v, d.v, 0x20);
  r[2] = _mm256_permute2f128_pd(a.v, c.v, 0x31);
  r[3] = _mm256_permute2f128_pd(b.v, d.v, 0x31);
}

inline F64 lower(F32 a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a.v)); }
inline F64 upper(F32 a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)); }
inline F32 join(F64 a, F64 b) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(a.v)), _mm256_cvtpd_ps(b.v), 1);
}

}  // namespace softgrad::avx2
