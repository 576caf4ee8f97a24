// Any machine, through the vector extensions of GCC and Clang: 8 floats, 4 doubles.
// The compiler lowers them to what the target has (SSE2, NEON, VSX, ... or scalars).
#pragma once

#include <cstddef>

namespace softgrad::generic {

inline constexpr char set_name[] = "generic";

// stream() is an ordinary store here.
inline void store_fence() {}

#ifdef __FP_FAST_FMA
inline constexpr bool fused_multiply_add = true;
#else
inline constexpr bool fused_multiply_add = false;
#endif

inline float to_float(Half h) {
  uint32_t sign = (h.bits & 0x8000u) << 16;
  uint32_t magnitude = h.bits & 0x7fffu;
  float value;
  if (magnitude >= 0x7c00u) {  // infinity or NaN: widen the exponent to all ones
    uint32_t bits = sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13);
    std::memcpy(&value, &bits, 4);
    return value;
  }
  // 2^112 moves the exponent's bias from 15 to 127, and normalises subnormals on the way.
  uint32_t bits = magnitude << 13;
  std::memcpy(&value, &bits, 4);
  value *= 0x1p112f;
  return sign ? -value : value;
}

inline Half to_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  uint32_t sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};   // NaN
  if (bits >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // rounds to infinity
  if (bits < 0x38800000u) {  // subnormal: adding 1/2 leaves units of 2^-24 in the low mantissa
    float shifted;
    std::memcpy(&shifted, &bits, 4);
    shifted += 0.5f;
    std::memcpy(&bits, &shifted, 4);
    return {static_cast<uint16_t>(sign | (bits - 0x3f000000u))};
  }
  uint32_t odd = (bits >> 13) & 1u;
  return {static_cast<uint16_t>(sign | ((bits - 0x38000000u + 0xfffu + odd) >> 13))};
}

inline float to_float(BFloat16 b) {
  uint32_t bits = static_cast<uint32_t>(b.bits) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Round to nearest, ties to even; a NaN stays a quiet NaN.
inline BFloat16 to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

inline float convert(float x, const float*) { return x; }
inline float convert(Half x, const float*) { return to_float(x); }
inline float convert(BFloat16 x, const float*) { return to_float(x); }
inline double convert(double x, const double*) { return x; }
inline double convert(float x, const double*) { return x; }
inline float convert(double x, const float*) { return static_cast<float>(x); }
inline Half convert(float x, const Half*) { return to_half(x); }
inline BFloat16 convert(float x, const BFloat16*) { return to_bfloat16(x); }

template <class T>
struct Format;

template <>
struct Format<float> {
  typedef float Lanes __attribute__((vector_size(32)));
  typedef int32_t Mask __attribute__((vector_size(32)));
  typedef uint32_t Unsigned __attribute__((vector_size(32)));
  static constexpr float integer_magic = 0x1.8p23f;
  static constexpr int mantissa_bits = 23, bias = 127;
};

template <>
struct Format<double> {
  typedef double Lanes __attribute__((vector_size(32)));
  typedef int64_t Mask __attribute__((vector_size(32)));
  typedef uint64_t Unsigned __attribute__((vector_size(32)));
  static constexpr double integer_magic = 0x1.8p52;
  static constexpr int mantissa_bits = 52, bias = 1023;
};

template <class T>
struct Vec : Format<T> {
  using Scalar = T;
  using Lanes = typename Format<T>::Lanes;
  using Mask = typename Format<T>::Mask;
  static constexpr int N = 32 / sizeof(T);
  static constexpr int lanes = N;
  Lanes v;

  Vec() = default;
  Vec(Lanes x) : v(x) {}
  Vec(T x) : v(Lanes{} + x) {}

  template <class S>
  static Vec load(const S* p) {
    Vec r;
    for (int i = 0; i < N; ++i) r.v[i] = convert(p[i], (const T*)nullptr);
    return r;
  }
  template <class S>
  static Vec load_first(const S* p, int n, T fill) {
    Vec r(fill);
    for (int i = 0; i < n; ++i) r.v[i] = convert(p[i], (const T*)nullptr);
    return r;
  }
  template <class S>
  void store(S* p) const {
    for (int i = 0; i < N; ++i) p[i] = convert(v[i], p);
  }
  template <class S>
  void store_first(S* p, int n) const {
    for (int i = 0; i < n; ++i) p[i] = convert(v[i], p);
  }
  template <class S>
  void stream(S* p) const {
    store(p);
  }
};

using F32 = Vec<float>;
using F64 = Vec<double>;

// Non-template operators, so that scalars convert to vectors as they do for the other sets.
#define SOFTGRAD_GENERIC_OPERATIONS(V)                                                                               \
  inline V operator+(V a, V b) { return a.v + b.v; }                                                                 \
  inline V operator-(V a, V b) { return a.v - b.v; }                                                                 \
  inline V operator*(V a, V b) { return a.v * b.v; }                                                                 \
  inline V operator/(V a, V b) { return a.v / b.v; }                                                                 \
  inline V::Mask equal(V a, V b) { return a.v == b.v; }                                                              \
  inline V::Mask less(V a, V b) { return a.v < b.v; }                                                                \
  inline V select(V::Mask m, V a, V b) { return (V::Lanes)((m & (V::Mask)a.v) | (~m & (V::Mask)b.v)); }              \
  inline V maximum(V a, V b) { return select(less(b, a), a, b); }                                                    \
  inline V fused_by_lane(V a, V b, V c) {                                                                            \
    V r;                                                                                                             \
    for (int i = 0; i < V::lanes; ++i)                                                                               \
      r.v[i] = sizeof(a.v[0]) == 4 ? __builtin_fmaf(a.v[i], b.v[i], c.v[i]) : __builtin_fma(a.v[i], b.v[i], c.v[i]); \
    return r;                                                                                                        \
  }                                                                                                                  \
  inline V multiply_add(V a, V b, V c) { return fused_multiply_add ? fused_by_lane(a, b, c) : V(a.v * b.v + c.v); }  \
  inline V subtract_bits(V a, V b) { return (V::Lanes)((V::Unsigned)a.v - (V::Unsigned)b.v); }                       \
  inline V exponent_field(V k_bits) { return (V::Lanes)(((V::Mask)k_bits.v & ~7) << (V::mantissa_bits - 3)); }       \
  inline V lookup8(const V::Scalar* table, V k_bits) {                                                               \
    V::Mask index = (V::Mask)k_bits.v & 7;                                                                           \
    V r;                                                                                                             \
    for (int i = 0; i < V::lanes; ++i) r.v[i] = table[index[i]];                                                     \
    return r;                                                                                                        \
  }                                                                                                                  \
  inline int count(V::Mask m) {                                                                                      \
    int n = 0;                                                                                                       \
    for (int i = 0; i < V::lanes; ++i) n -= static_cast<int>(m[i]);                                                  \
    return n;                                                                                                        \
  }                                                                                                                  \
  inline bool any(V::Mask m) { return count(m) != 0; }                                                               \
  inline V::Scalar largest(V a) {                                                                                    \
    V::Scalar x = a.v[0];                                                                                            \
    for (int i = 1; i < V::lanes; ++i) x = a.v[i] > x ? a.v[i] : x;                                                  \
    return x;                                                                                                        \
  }

SOFTGRAD_GENERIC_OPERATIONS(F32)
SOFTGRAD_GENERIC_OPERATIONS(F64)
#undef SOFTGRAD_GENERIC_OPERATIONS

template <class T>
[[gnu::always_inline]] inline void transpose(Vec<T>* r) {
  for (int i = 0; i < Vec<T>::lanes; ++i)
    for (int j = 0; j < i; ++j) {
      T kept = r[i].v[j];
      r[i].v[j] = r[j].v[i];
      r[j].v[i] = kept;
    }
}

inline F64 ldexp_floor(F64 a, F64 y) {
  const F64 magic = F64::integer_magic;
  F64 bounded = maximum(F64(-F64::bias), y);
  F64 nearest = (bounded + magic) - magic;
  F64 floor = nearest - select(less(bounded, nearest), F64(1), F64(0));
  F64 biased = (maximum(F64(-F64::bias), floor) + F64(F64::bias)) + magic;
  return a.v * (F64::Lanes)((F64::Mask)biased.v << F64::mantissa_bits);
}
inline F64 exponent(F64 a) {
  F64::Mask biased = (F64::Mask)a.v >> F64::mantissa_bits;
  return F64(__builtin_convertvector(biased, F64::Lanes)) - F64(F64::bias);
}
inline F64 lower(F32 a) { return F64::Lanes{a.v[0], a.v[1], a.v[2], a.v[3]}; }
inline F64 upper(F32 a) { return F64::Lanes{a.v[4], a.v[5], a.v[6], a.v[7]}; }
inline F32 join(F64 a, F64 b) {
  F32 r;
  for (int i = 0; i < 4; ++i) {
    r.v[i] = static_cast<float>(a.v[i]);
    r.v[i + 4] = static_cast<float>(b.v[i]);
  }
  return r;
}

}  // namespace softgrad::generic
