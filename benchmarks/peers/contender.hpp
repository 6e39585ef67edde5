#pragma once

#include <functional>
#include <string>
#include <vector>

#include "oracle/oracle.hpp"
#include "problem/problem.hpp"

namespace benchmarks {

/// One implementation bound to one problem: whatever may be prepared once has been prepared.
struct contender {
  std::function<double()> call;   ///< does the task once and returns the loss; 0 where there is none
  oracle_rule computes;           ///< what it is compared with
  std::function<void()> publish;  ///< copies an answer kept elsewhere to the problem's output; never timed
  bool own_output = false;        ///< allocates its gradient itself: not counted as extra memory
};

/// An implementation that can be bound to problems.
template <class Element>
struct peer {
  std::string name;
  std::function<contender(problem<Element>&, int threads)> bind;
  std::vector<int> threads{1};
};

template <class Element>
std::vector<peer<Element>> with_threads(std::vector<peer<Element>> peers, std::vector<int> threads) {
  for (auto& each : peers) each.threads = threads;
  return peers;
}

template <class Element>
std::vector<peer<Element>> operator+(std::vector<peer<Element>> left,
                                     const std::vector<peer<Element>>& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

template <class Element>
using peer_list = std::vector<peer<Element>>;

}  // namespace benchmarks
