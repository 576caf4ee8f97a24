// The numbers that only change how fast the kernels are, each with its unit and why it is what it is. Where they
// fix how rows are grouped they also fix the order of sums, so another value gives other last bits.
//
// Caches they are meant for: 32 KiB first level, 512 KiB to 1 MiB second level, 32 MiB last level. "Half" and "double"
// are times with half and double the number over times with it, on one thread of AMD EPYC, AVX2, 2 cores, shared and
// noisy: "no difference" means less than about 5 %. "Not measured" marks a number that follows from the caches alone.
#pragma once

#include <cstdint>

namespace softgrad {

// --- threads ---

// Elements; calls on fewer take one thread. About 0.1 ms of work: less gains little, and idle workers go on spinning
// for a while, which disturbs the BLAS that callers alternate with.
inline constexpr int64_t serial_below = 1 << 16;

// Products of a linear head's pass that count as one element for serial_below. At 1797 x 64 x 10 a second thread
// saves 0.1 ms, and waiting for one that the system has put aside costs 20.
inline constexpr int64_t products_per_element = 64;

// Classes that an element of X costs at least: a vector of floats.
inline constexpr int64_t least_products = 16;

// Elements of a group of rows, the unit that threads share out; rows times classes. Not measured: 64 KiB of
// float, and four groups where calls begin to take several threads.
inline constexpr int64_t group_elements = 16384;

// Rows longer than a group: so many are in a group where there are `groups_of_long_rows` such groups, so that a
// row can be written alongside the next one (row_batch.h). Not measured.
inline constexpr int64_t long_rows_in_group = 8, groups_of_long_rows = 32;

// Batches of a group whose rows have no elements at all.
inline constexpr int64_t batches_of_empty_rows = 64;

// Bytes. No two threads' scratch shares a page, which is also the unit in which memory is asked to be huge.
inline constexpr int64_t page_bytes = 4096;

// Bytes of a cache line, to which scratch is aligned; a vector of AVX-512.
inline constexpr int64_t cache_line = 64;

// --- softmax, cross-entropy, Hessian-vector products ---

// Elements of the rows that are finished together: their exponentials stay in the first-level cache (32 KiB of
// float). Half and double: no difference for softmax of 200 to 6000 classes, float32.
inline constexpr int64_t batch_elements = 8192;

// Classes up to which each row has a lane: rows of fewer than a few vectors would spend their time in the tail and in
// the sums over lanes. Half: 1.6 at 4096 x 20 float32; double: no difference at 48 classes.
inline constexpr int64_t few_classes = 32;

// Classes up to which neighbouring rows of an axis that is not the last have a lane each: its exponentials and logits,
// 16 lanes of float each, are then 512 KiB. Half: 2.6 at 3000 classes of 1000 rows, float32; double: 0.4 at 6000
// classes, so a larger number is worth a search.
inline constexpr int64_t most_tile_classes = 4096;

// Bytes of computed elements in a block of a long row: a quarter to half of the second-level cache. A row of no
// more is read once, not three times. Half: 1.5 to 2.3 at 8 x 50000 float32; double: 0.75 at 8 x 100000.
inline constexpr int64_t long_row_block_bytes = 262144;

// Classes of a block of a product with an operator: its three rows stay in the second-level cache. Half and
// double: no difference at 10 x 30000, float32 and float64.
inline constexpr int64_t operator_block = 16384;

// Classes of a block of a row with dense targets: logits, targets and a buffer in double, 512 KiB, stay in the
// second-level cache. Not measured alone.
inline constexpr int64_t dense_block = 16384;

// Streaming stores (softmax_kernel.h): bytes of output from which they pay, the last-level cache, since a smaller
// result is still there when it is read; and bytes of a row, whose first and last line are shared with ordinary stores.
inline constexpr int64_t last_level_cache = 32 << 20, streamed_row_bytes = 16 << 10;

// --- linear heads (linear_head.h, weighted_gram.h, column_moments.h) ---

// Bytes of X in a chunk of rows, which stays in the second-level cache from the logits to the sums, and rows of one:
// 60000 x 784 x 10 in float32 takes 2.9 to 3.2 times one read of X. Half and double, together with
// product_depth: within the spread, which is 10 % there.
inline constexpr int64_t head_chunk_bytes = 1 << 18, least_chunk_rows = 32, most_chunk_rows = 256;

// Features that the logits' products sum at once: beyond, sums of float lose digits and the panel leaves the cache.
inline constexpr int64_t product_depth = 1024;

// Sums over rows are kept for each group of chunks. They may weigh 1/64 of X or 1 MiB, and there are 2 to 64 groups:
// the limit on threads, chosen by the shape alone.
inline constexpr int64_t share_of_sums = 64, least_sum_bytes = 1 << 20, least_groups = 2, most_groups = 64;

// Rows gathered at a time for Gram matrices, which stay in the second-level cache. Half: no difference.
inline constexpr int64_t gram_chunk_rows = 64;

// Elements and rows of a group of the columns' moments, 1 MiB of double; no more than 64 groups. Half and double: no
// difference.
inline constexpr int64_t moment_elements = 1 << 17, least_moment_rows = 64, most_moment_groups = 64;

}  // namespace softgrad
