#pragma once

#include <functional>
#include <vector>

namespace torch_transformer {

/// Runs the jobs on `threads` threads, on each of which libtorch uses only that one. What a job throws is
/// thrown again when the others have ended.
void run_jobs(const std::vector<std::function<void()>>& jobs, int threads);

}  // namespace torch_transformer
