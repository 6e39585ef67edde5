#pragma once

#include <concepts>
#include <cstddef>
#include <distill/version.hpp>
#include <memory>
#include <type_traits>

namespace distill::inline DISTILL_ABI {

/// A reference to something callable as `f(begin, end)`, valid during the call it is passed to.
class block_function {
 public:
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, block_function>)
  block_function(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, std::size_t begin, std::size_t end) {
          (*static_cast<std::remove_reference_t<F>*>(object))(begin, end);
        }) {}

  void operator()(std::size_t begin, std::size_t end) const { call_(object_, begin, end); }

 private:
  void* object_;
  void (*call_)(void*, std::size_t, std::size_t);
};

/// Who runs the rows. `for_each_block(count, grain, f)` calls f(begin, end) on disjoint ranges that cover
/// [0, count), each at least `grain` long where possible, from any threads, and returns when all have finished;
/// an exception thrown by f is rethrown there. `concurrency()` is the most calls of f in flight at once: it sizes
/// the scratch memory. Results never depend on how the range was cut or who ran it.
template <class E>
concept executor = requires(E& e, std::size_t count, block_function f) {
  e.for_each_block(count, count, f);
  { e.concurrency() } -> std::convertible_to<std::size_t>;
};

/// The calling thread, in one block: the default.
struct serial_executor {
  std::size_t concurrency() const { return 1; }
  void for_each_block(std::size_t count, std::size_t /*grain*/, block_function f) const {
    if (count > 0) f(0, count);
  }
};

/// A reference to any executor; the executor must outlive the call it is passed to. Default: the calling thread.
class executor_ref {
 public:
  executor_ref() : executor_ref(calling_thread) {}
  template <class E>
    requires(!std::same_as<std::remove_cvref_t<E>, executor_ref> && executor<std::remove_reference_t<E>>)
  executor_ref(E&& e)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(e)))),
        concurrency_([](void* object) {
          return static_cast<std::size_t>(static_cast<std::remove_reference_t<E>*>(object)->concurrency());
        }),
        for_each_block_([](void* object, std::size_t count, std::size_t grain, block_function f) {
          static_cast<std::remove_reference_t<E>*>(object)->for_each_block(count, grain, f);
        }) {}

  /// Whether none was given.
  bool is_default() const { return object_ == &calling_thread; }
  std::size_t concurrency() const { return concurrency_(object_); }
  void for_each_block(std::size_t count, std::size_t grain, block_function f) const {
    for_each_block_(object_, count, grain, f);
  }

 private:
  static constexpr serial_executor calling_thread{};

  void* object_;
  std::size_t (*concurrency_)(void*);
  void (*for_each_block_)(void*, std::size_t, std::size_t, block_function);
};

}  // namespace distill::inline DISTILL_ABI
