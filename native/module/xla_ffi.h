// XLA's C interface for foreign functions (FFI), as far as handlers on the CPU need it: the same layout as the structs
// of version 0.1 in xla/ffi/api/c_api.h, which tests/jax/test_xla_ffi.py compares with the header of the installed
// jaxlib. Declared here, so that the build does not need jaxlib.
//
// A struct of a newer version only has more fields at its end, which are never touched; XLA refuses to register
// handlers of a version that it no longer supports.
#pragma once

#include <cstddef>
#include <cstdint>

namespace softgrad::xla {

// The version that handlers report: the oldest that XLA accepts, because it refuses those newer than its own.
inline constexpr int api_major = 0, api_minor = 1;

enum class ExtensionType : int { metadata = 1 };

struct Extension {
  size_t struct_size;
  ExtensionType type;
  Extension* next;
};

struct ApiVersion {
  size_t struct_size;
  Extension* extensions;
  int major_version;
  int minor_version;
};

// XLA queries it when a handler is registered.
struct Metadata {
  size_t struct_size;
  ApiVersion api_version;
  uint32_t traits;
};

struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

enum class ErrorCode : int { invalid_argument = 3, internal = 13 };

struct Error;  // opaque: created by XLA

struct CreateErrorArguments {
  size_t struct_size;
  Extension* extensions;
  const char* message;  // copied by XLA
  ErrorCode code;
};

struct Api {
  size_t struct_size;
  Extension* extensions;
  ApiVersion version;
  const void* internal_api;
  Error* (*create_error)(CreateErrorArguments*);
};

enum class DataType : int { pred = 1, s32 = 4, s64 = 5, f16 = 10, f32 = 11, f64 = 12, bf16 = 16 };

struct Buffer {
  size_t struct_size;
  Extension* extensions;
  DataType dtype;
  void* data;
  int64_t rank;
  int64_t* dims;
};

struct Buffers {
  size_t struct_size;
  Extension* extensions;
  int64_t size;
  void* types;  // version 0.1 has one type, a buffer
  void** buffers;
};

enum class AttributeType : int { scalar = 3 };

struct Scalar {
  DataType dtype;
  void* value;
};

struct Name {
  const char* data;
  size_t size;
};

struct Attributes {
  size_t struct_size;
  Extension* extensions;
  int64_t size;
  AttributeType* types;
  Name** names;
  void** values;  // Scalar, if its type is scalar
};

struct CallFrame {
  size_t struct_size;
  Extension* extensions;
  const Api* api;
  void* context;
  int stage;
  Buffers arguments;
  Buffers results;
  Attributes attributes;
};

using Handler = Error*(CallFrame*);  // nullptr: no error

}  // namespace softgrad::xla
