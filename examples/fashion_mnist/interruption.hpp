#pragma once

#include <stdexcept>

namespace fashion_mnist {

/// Training was asked to stop and has left its checkpoint.
class interrupted : public std::runtime_error {
 public:
  interrupted() : std::runtime_error("interrupted") {}
};

/// From now on SIGINT and SIGTERM only set a mark; a second one ends the program at once.
void watch_for_interruption();

/// The signal that arrived, 0 if none has.
int interruption();

}  // namespace fashion_mnist
