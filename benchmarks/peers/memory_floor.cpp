#include <omp.h>

#include <algorithm>
#include <cstddef>

#include "peers/peers.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace benchmarks {
namespace {

#if defined(__x86_64__)
#define FOR_EVERY_TARGET __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EVERY_TARGET
#endif

constexpr float scale = 0.5F;
constexpr std::size_t block = 64;  // elements: a multiple of every vector and of a cache line

using triad = void (*)(const float*, const float*, float*, std::size_t count);

FOR_EVERY_TARGET
void triad_plain(const float* __restrict a, const float* __restrict b, float* __restrict out,
                 std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = a[i] + scale * b[i];
}

#if defined(__x86_64__)

__attribute__((target("avx512f"))) void triad_streaming_avx512(const float* a, const float* b, float* out,
                                                               std::size_t count) {
  const __m512 factor = _mm512_set1_ps(scale);
  for (std::size_t i = 0; i + 16 <= count; i += 16) {
    _mm512_stream_ps(out + i, _mm512_fmadd_ps(factor, _mm512_loadu_ps(b + i), _mm512_loadu_ps(a + i)));
  }
  _mm_sfence();
}

__attribute__((target("avx2,fma"))) void triad_streaming_avx2(const float* a, const float* b, float* out,
                                                              std::size_t count) {
  const __m256 factor = _mm256_set1_ps(scale);
  for (std::size_t i = 0; i + 8 <= count; i += 8) {
    _mm256_stream_ps(out + i, _mm256_fmadd_ps(factor, _mm256_loadu_ps(b + i), _mm256_loadu_ps(a + i)));
  }
  _mm_sfence();
}

triad best_streaming_triad() {
  if (__builtin_cpu_supports("avx512f")) return triad_streaming_avx512;
  if (__builtin_cpu_supports("avx2")) return triad_streaming_avx2;
  return triad_plain;
}

#else

triad best_streaming_triad() { return triad_plain; }

#endif

using vector = float __attribute__((vector_size(64)));

/// The sum of the products: the loop must need what it reads.
FOR_EVERY_TARGET
float read_both(const float* a, const float* b, std::size_t count) {
  vector sums[4] = {};
  for (std::size_t i = 0; i + block <= count; i += block) {
    for (std::size_t k = 0; k < 4; ++k) {
      sums[k] +=
          *reinterpret_cast<const vector*>(a + i + 16 * k) * *reinterpret_cast<const vector*>(b + i + 16 * k);
    }
  }
  const vector sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return sum[0];
}

/// Calls f(begin, count) on one contiguous, cache-line aligned range per thread.
template <class F>
void split(std::size_t elements, int threads, const F& f) {
  if (threads == 1) return f(0, elements);
  const std::size_t blocks = (elements + block - 1) / block;
#pragma omp parallel num_threads(threads)
  {
    const auto part = static_cast<std::size_t>(omp_get_thread_num());
    const auto parts = static_cast<std::size_t>(omp_get_num_threads());
    const std::size_t begin = blocks * part / parts * block;
    const std::size_t end = std::min(elements, blocks * (part + 1) / parts * block);
    f(begin, end - begin);
  }
}

contender triad_floor(problem<float>& task, int threads, triad copy) {
  const auto call = [&task, threads, copy] {
    split(task.extent.elements(), threads, [&](std::size_t begin, std::size_t count) {
      copy(task.student.data() + begin, task.teacher.data() + begin, task.output.data() + begin, count);
    });
    return static_cast<double>(task.output[0]);
  };
  return {call, oracle::nothing(), {}};
}

contender read_only_floor(problem<float>& task, int threads) {
  const auto call = [&task, threads] {
    float total = 0;
    split(task.extent.elements(), threads, [&](std::size_t begin, std::size_t count) {
      const float part = read_both(task.student.data() + begin, task.teacher.data() + begin, count);
#pragma omp atomic
      total += part;
    });
    return static_cast<double>(total);
  };
  return {call, oracle::nothing(), {}};
}

}  // namespace

peer_list<float> memory_floor() {
  return {{"floor_plain",
           [](problem<float>& task, int threads) { return triad_floor(task, threads, triad_plain); }},
          {"floor_streaming", [](problem<float>& task, int threads) {
             return triad_floor(task, threads, best_streaming_triad());
           }}};
}

peer_list<float> read_floor() { return {{"floor_read", read_only_floor}}; }

}  // namespace benchmarks
