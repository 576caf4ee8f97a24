// Numbers that affect speed alone, each with its unit and its reason; but those that decide how rows are grouped also
// decide the order of sums, and so the last bits of results.
//
// They assume caches of 32 KiB (first level), 512 KiB to 1 MiB (second level) and 32 MiB (last level). "Half" and
// "double" are the times with half and double the number, relative to the time with it, on one thread of a shared AMD
// EPYC with AVX2: "no difference" means less than about 5 %. "Not measured" marks a number that follows from the caches
// alone.
#pragma once

#include <cstdint>

namespace softgrad {

// --- threads ---

// Calls on fewer elements take one thread. Loss and gradient of float32 in 1000 classes, time with two threads over
// time with one: 16384 elements 1.00, 32768 0.74, 65536 0.64 back to back; after a pause, with the helper asleep,
// 32768 1.18, 65536 1.11, 131072 1.02, 262144 0.83.
inline constexpr int64_t serial_below = 1 << 16;

// Nanoseconds for which a thread without work looks for new work before it sleeps. Waking it takes about as long.
inline constexpr int64_t spin_ns = 50'000;

// Most threads of a call, and most calls at a time that share their loops; further calls take one thread.
inline constexpr int most_threads = 1024, most_calls = 32;

// Shares of a loop for each thread, at least, if there are that many pieces. With 65536 pieces of 20 ns, one at a time,
// threads would compete for the counter.
inline constexpr int64_t shares_of_thread = 32;

// Nanoseconds until threads are started again after the system refused one: each try takes 20 us.
inline constexpr int64_t start_again_ns = 1'000'000'000;

// If the caller waits for an interrupted helper and the call takes 1.4 times as long as it would have taken the caller
// alone, calls take one thread for a multiple of its time. The multiple doubles each time and falls by 1/32 with every
// call that sharing made faster: so it grows where more than one call in about 22 is slow. Smaller losses count as soon
// as they exceed what was saved before, at most most_saved_ns. Chosen with `python -m benchmarks --suite load`.
inline constexpr int64_t least_rest = 8, most_rest = 256, longest_rest_ns = 300'000'000, most_saved_ns = 500'000;

// Products in a pass over a linear head that count as one element for serial_below. At 1797 x 64 x 10 a second thread
// saves 0.1 ms, but one that the system interrupts in the middle of a piece costs up to 20 ms.
inline constexpr int64_t products_per_element = 64;

// Products per element of X, at least: a vector of floats.
inline constexpr int64_t least_products = 16;

// Elements (rows times classes) of a group of rows, the unit of work of a thread. Not measured: 64 KiB of float, and
// four groups in the smallest call that takes several threads.
inline constexpr int64_t group_elements = 16384;

// Rows longer than a group are grouped by up to long_rows_in_group, as long as there are groups_of_long_rows groups, so
// that a row can be written during the exponentials of the next one (row_tile.h). Not measured.
inline constexpr int64_t long_rows_in_group = 8, groups_of_long_rows = 32;

// Tiles in a group of rows without elements.
inline constexpr int64_t tiles_of_empty_rows = 64;

// Bytes of a page. No two threads share one for their scratch memory; huge pages are requested in multiples of it.
inline constexpr int64_t page_bytes = 4096;

// Bytes of a cache line and of a vector of AVX-512, to which scratch memory is aligned.
inline constexpr int64_t cache_line = 64;

// --- softmax, cross-entropy, Hessian-vector products ---

// Elements of a tile with the classes in the lanes: its exponentials stay in the first-level cache (32 KiB of float).
// Half and double: no difference for softmax of 200 to 6000 classes, float32.
inline constexpr int64_t row_tile_elements = 8192;

// Classes up to which tiles have one row in each lane: rows of few vectors would take most of their time for the last,
// partial vector and for sums over lanes. Half: 1.6 at 4096 x 20 float32; double: no difference at 48 classes.
inline constexpr int64_t few_classes = 32;

// Classes up to which rows that are adjacent in memory have one lane each: the exponentials and logits of 16 rows are
// then 512 KiB of float. Half: 2.6 at 3000 classes of 1000 rows, float32; double: 0.4 at 6000 classes, so a larger
// number may be better.
inline constexpr int64_t most_tile_classes = 4096;

// Bytes of a block of a long row, in the type of the computation: a quarter to half of the second-level cache. A row of
// one block is read once, a longer one twice. Half: 1.5 to 2.3 at 8 x 50000 float32; double: 0.75 at 8 x 100000.
inline constexpr int64_t long_row_block_bytes = 262144;

// Classes in a block of a product with an operator: the blocks of p, v and the result stay in the second-level cache.
// Half and double: no difference at 10 x 30000, float32 and float64.
inline constexpr int64_t operator_block = 16384;

// Classes in a block of a row with dense targets: logits, two parts of the targets and a buffer, 512 KiB of double,
// stay in the second-level cache. Not measured separately.
inline constexpr int64_t dense_block = 16384;

// Bytes of a result from which streaming stores pay (row_passes.h): the last-level cache, since a smaller result is
// still in it when it is read. And bytes of a row, whose first and last cache line take ordinary stores.
inline constexpr int64_t last_level_cache = 32 << 20, streamed_row_bytes = 16 << 10;

// --- linear heads (linear_head.h, gram.h, column_sums.h) ---

// Bytes of X in a chunk of rows, which stays in the second-level cache from the logits to the sums, and limits of its
// rows: 60000 x 784 x 10 in float32 takes 2.9 to 3.2 times as long as reading X once. Half and double, together with
// product_depth: within the spread of 10 %.
inline constexpr int64_t head_chunk_bytes = 1 << 18, least_chunk_rows = 32, most_chunk_rows = 256;

// Features over which the products of logits are summed at once: with more, float sums lose digits and the panel does
// not stay in the cache.
inline constexpr int64_t product_depth = 1024;

// A thread has sums of its own, a few nodes of the tree (tree_sum.h). As many threads take part as have nodes of up to
// a quarter of X, but at least 16, since solvers keep about as many arrays of that size. Not measured.
inline constexpr int64_t share_of_sums = 4, least_threads_of_sums = 16;

// Rows that are gathered together for Gram matrices; they stay in the second-level cache. Half: no difference.
inline constexpr int64_t gram_chunk_rows = 64;

// Threads share the blocks of Gram matrices. If those are few, so that the last one takes long, rows are divided as
// well, into parts of at least least_part_rows rows, each with sums of its own, of up to most_part_elements. Not
// measured separately.
inline constexpr int64_t gram_tasks = 128, least_part_rows = 512, most_part_elements = 1 << 20;

// Rows of a dense matrix, at least, whose class weights are computed together: a block of panel_product. Not measured.
inline constexpr int64_t least_weight_rows = 8;

// Bytes of a tile of rows that are copied for the sums of columns if elements of a row are no neighbours: half of the
// first-level cache. A matrix in Fortran order takes 1.5 times as long as with columns in the lanes, which would add in
// another order, at 60000 x 784 float32, and 2.5 times at 100000 x 50. Half and double: not measured.
inline constexpr int64_t column_sum_tile_bytes = 1 << 14;

}  // namespace softgrad
