// Compares module/xla_ffi.h with XLA's own header, by static_assert; tests/jax/test_xla_ffi.py compiles it.
#include <xla/ffi/api/c_api.h>

#include "module/xla_ffi.h"

namespace xla = softgrad::xla;

#define SAME_FIELD(ours, our_field, theirs, their_field)                     \
  static_assert(offsetof(ours, our_field) == offsetof(theirs, their_field)); \
  static_assert(sizeof(ours::our_field) == sizeof(theirs::their_field))
#define SAME_VALUE(ours, theirs) static_assert(static_cast<int>(ours) == theirs && sizeof(ours) == sizeof(theirs))

// A version from api_major.api_minor on, of the same major version: newer ones may have more fields.
static_assert(xla::api_major == XLA_FFI_API_MAJOR && xla::api_minor <= XLA_FFI_API_MINOR);

SAME_VALUE(xla::ExtensionType::metadata, XLA_FFI_Extension_Metadata);
using Extension = decltype(XLA_FFI_Metadata_Extension::extension_base);  // whose name jaxlib has changed
SAME_FIELD(xla::Extension, struct_size, Extension, struct_size);
SAME_FIELD(xla::Extension, type, Extension, type);
SAME_FIELD(xla::Extension, next, Extension, next);

SAME_FIELD(xla::ApiVersion, struct_size, XLA_FFI_Api_Version, struct_size);
SAME_FIELD(xla::ApiVersion, extensions, XLA_FFI_Api_Version, extension_start);
SAME_FIELD(xla::ApiVersion, major_version, XLA_FFI_Api_Version, major_version);
SAME_FIELD(xla::ApiVersion, minor_version, XLA_FFI_Api_Version, minor_version);

SAME_FIELD(xla::Metadata, struct_size, XLA_FFI_Metadata, struct_size);
SAME_FIELD(xla::Metadata, api_version, XLA_FFI_Metadata, api_version);
SAME_FIELD(xla::Metadata, traits, XLA_FFI_Metadata, traits);

SAME_FIELD(xla::MetadataExtension, base, XLA_FFI_Metadata_Extension, extension_base);
SAME_FIELD(xla::MetadataExtension, metadata, XLA_FFI_Metadata_Extension, metadata);

SAME_VALUE(xla::ErrorCode::invalid_argument, XLA_FFI_Error_Code_INVALID_ARGUMENT);
SAME_VALUE(xla::ErrorCode::internal, XLA_FFI_Error_Code_INTERNAL);

static_assert(sizeof(xla::CreateErrorArguments) == sizeof(XLA_FFI_Error_Create_Args));
SAME_FIELD(xla::CreateErrorArguments, struct_size, XLA_FFI_Error_Create_Args, struct_size);
SAME_FIELD(xla::CreateErrorArguments, extensions, XLA_FFI_Error_Create_Args, extension_start);
SAME_FIELD(xla::CreateErrorArguments, message, XLA_FFI_Error_Create_Args, message);
SAME_FIELD(xla::CreateErrorArguments, code, XLA_FFI_Error_Create_Args, errc);

SAME_FIELD(xla::Api, struct_size, XLA_FFI_Api, struct_size);
SAME_FIELD(xla::Api, extensions, XLA_FFI_Api, extension_start);
SAME_FIELD(xla::Api, version, XLA_FFI_Api, api_version);
SAME_FIELD(xla::Api, internal_api, XLA_FFI_Api, internal_api);
SAME_FIELD(xla::Api, create_error, XLA_FFI_Api, XLA_FFI_Error_Create);

SAME_VALUE(xla::DataType::pred, XLA_FFI_DataType_PRED);
SAME_VALUE(xla::DataType::s32, XLA_FFI_DataType_S32);
SAME_VALUE(xla::DataType::s64, XLA_FFI_DataType_S64);
SAME_VALUE(xla::DataType::f16, XLA_FFI_DataType_F16);
SAME_VALUE(xla::DataType::f32, XLA_FFI_DataType_F32);
SAME_VALUE(xla::DataType::f64, XLA_FFI_DataType_F64);
SAME_VALUE(xla::DataType::bf16, XLA_FFI_DataType_BF16);

SAME_FIELD(xla::Buffer, struct_size, XLA_FFI_Buffer, struct_size);
SAME_FIELD(xla::Buffer, extensions, XLA_FFI_Buffer, extension_start);
SAME_FIELD(xla::Buffer, dtype, XLA_FFI_Buffer, dtype);
SAME_FIELD(xla::Buffer, data, XLA_FFI_Buffer, data);
SAME_FIELD(xla::Buffer, rank, XLA_FFI_Buffer, rank);
SAME_FIELD(xla::Buffer, dims, XLA_FFI_Buffer, dims);

static_assert(sizeof(xla::Buffers) == sizeof(XLA_FFI_Args) && sizeof(xla::Buffers) == sizeof(XLA_FFI_Rets));
SAME_FIELD(xla::Buffers, struct_size, XLA_FFI_Args, struct_size);
SAME_FIELD(xla::Buffers, extensions, XLA_FFI_Args, extension_start);
SAME_FIELD(xla::Buffers, size, XLA_FFI_Args, size);
SAME_FIELD(xla::Buffers, types, XLA_FFI_Args, types);
SAME_FIELD(xla::Buffers, buffers, XLA_FFI_Args, args);
SAME_FIELD(xla::Buffers, size, XLA_FFI_Rets, size);
SAME_FIELD(xla::Buffers, types, XLA_FFI_Rets, types);
SAME_FIELD(xla::Buffers, buffers, XLA_FFI_Rets, rets);

SAME_VALUE(xla::AttributeType::scalar, XLA_FFI_AttrType_SCALAR);
SAME_FIELD(xla::Scalar, dtype, XLA_FFI_Scalar, dtype);
SAME_FIELD(xla::Scalar, value, XLA_FFI_Scalar, value);
SAME_FIELD(xla::Name, data, XLA_FFI_ByteSpan, ptr);
SAME_FIELD(xla::Name, size, XLA_FFI_ByteSpan, len);

static_assert(sizeof(xla::Attributes) == sizeof(XLA_FFI_Attrs));
SAME_FIELD(xla::Attributes, struct_size, XLA_FFI_Attrs, struct_size);
SAME_FIELD(xla::Attributes, extensions, XLA_FFI_Attrs, extension_start);
SAME_FIELD(xla::Attributes, size, XLA_FFI_Attrs, size);
SAME_FIELD(xla::Attributes, types, XLA_FFI_Attrs, types);
SAME_FIELD(xla::Attributes, names, XLA_FFI_Attrs, names);
SAME_FIELD(xla::Attributes, values, XLA_FFI_Attrs, attrs);

SAME_FIELD(xla::CallFrame, struct_size, XLA_FFI_CallFrame, struct_size);
SAME_FIELD(xla::CallFrame, extensions, XLA_FFI_CallFrame, extension_start);
SAME_FIELD(xla::CallFrame, api, XLA_FFI_CallFrame, api);
SAME_FIELD(xla::CallFrame, context, XLA_FFI_CallFrame, ctx);
SAME_FIELD(xla::CallFrame, stage, XLA_FFI_CallFrame, stage);
SAME_FIELD(xla::CallFrame, arguments, XLA_FFI_CallFrame, args);
SAME_FIELD(xla::CallFrame, results, XLA_FFI_CallFrame, rets);
SAME_FIELD(xla::CallFrame, attributes, XLA_FFI_CallFrame, attrs);
