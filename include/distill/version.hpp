#pragma once

/// The one place the version is written; the build reads it from here.
#define DISTILL_VERSION_MAJOR 0
#define DISTILL_VERSION_MINOR 1
#define DISTILL_VERSION_PATCH 0

// The two modes carry different inline namespaces, so objects built in one can never be linked as the other.
#if defined(DISTILL_HEADER_ONLY)
#define DISTILL_ABI v0_header_only
#define DISTILL_INLINE inline
#else
#define DISTILL_ABI v0
#define DISTILL_INLINE
#endif

namespace distill::inline DISTILL_ABI {

struct version_number {
  int major, minor, patch;
  bool operator==(const version_number&) const = default;
};

/// The version of the headers in use.
inline constexpr version_number version{DISTILL_VERSION_MAJOR, DISTILL_VERSION_MINOR, DISTILL_VERSION_PATCH};

}  // namespace distill::inline DISTILL_ABI
