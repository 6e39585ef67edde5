#pragma once

#include <distill/error/error.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace distill::inline DISTILL_ABI {

/// The SIMD targets this build contains and this processor can run, best first, in Highway's spelling: "AVX3",
/// "AVX2", "SSE4", "NEON", "EMU128" or "SCALAR". In header-only mode the one target the caller compiles for.
std::vector<std::string> available_targets();

/// The one in use: the best available, unless forced. The environment variable DISTILL_TARGET forces one at start;
/// a name that is not available is ignored there.
std::string active_target();

/// Uses `name` from now on, in every thread; an empty name returns to the best. For tests and bug reports: not
/// while another thread is inside the library. Throws parameter_error if it is not available.
void force_target(std::string_view name);

}  // namespace distill::inline DISTILL_ABI

#if defined(DISTILL_HEADER_ONLY)
#include <distill/dispatch-inl.hpp>
#endif
