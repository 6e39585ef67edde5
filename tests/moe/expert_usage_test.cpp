// What a person reads of the use of experts.
#include <catch2/catch.hpp>

#include "moe/router_cases.hpp"

using distill::usage_of;

TEST_CASE("even use") {
  const std::vector<std::int64_t> counts(8, 5);
  const distill::expert_usage usage = usage_of(counts);
  CHECK(usage.experts == 8);
  CHECK(usage.assignments == 40);
  CHECK(usage.shares == std::vector<double>(8, 0.125));
  CHECK(usage.entropy == Approx(std::log(8)));
  CHECK(usage.effective_experts == Approx(8));
  CHECK(usage.largest_over_mean == 1);
  CHECK(usage.coefficient_of_variation == 0);
  CHECK(usage.unused == 0);
}

TEST_CASE("one expert for all, and by hand 1 : 3") {
  const std::vector<std::int64_t> one = {0, 7, 0, 0}, uneven = {1, 3};
  const distill::expert_usage usage = usage_of(one), other = usage_of(uneven);
  CHECK(usage.effective_experts == 1);
  CHECK(usage.largest_over_mean == 4);
  CHECK(usage.coefficient_of_variation == Approx(std::sqrt(3)));
  CHECK(usage.unused == 3);
  CHECK(other.entropy == Approx(0.25 * std::log(4) + 0.75 * std::log(4 / 3.0)));
  CHECK(other.largest_over_mean == 1.5);
  CHECK(other.coefficient_of_variation == 0.5);
}

TEST_CASE("no assignments and no experts") {
  const std::vector<std::int64_t> none(3), nobody;
  const distill::expert_usage usage = usage_of(none);
  CHECK(usage.unused == 3);
  CHECK(usage.shares == std::vector<double>(3, 0));
  CHECK(usage.effective_experts == 0);
  CHECK(usage_of(nobody) == distill::expert_usage{});
  CHECK(!to_string(usage_of(nobody)).empty());
  const std::vector<std::int64_t> negative = {1, -1};
  CHECK_THROWS_WITH(usage_of(negative), "usage_of: assignments[1] is -1, must be >= 0");
}

TEST_CASE("as text") {
  const std::vector<std::int64_t> counts = {5, 0, 3, 8};
  CHECK(to_string(usage_of(counts)) ==
        "experts 4, assignments 16, unused 1\n"
        "effective experts 2.8, entropy 1.02 nats\n"
        "largest / mean 2.00, coefficient of variation 0.73\n"
        "expert   share\n"
        "     0   31.25 %  #########################\n"
        "     1    0.00 %\n"
        "     2   18.75 %  ###############\n"
        "     3   50.00 %  ########################################\n");
}

TEST_CASE("many experts fit a screen: the most and the least used") {
  std::vector<std::int64_t> counts(256);
  for (std::size_t i = 0; i < 256; ++i) counts[i] = static_cast<std::int64_t>((i * 37) % 256);
  const std::string text = to_string(usage_of(counts));
  CHECK(std::count(text.begin(), text.end(), '\n') == 4 + 33);
  CHECK(text.find("...  224 more") != std::string::npos);
  CHECK(text.find("\n     0    0.00 %\n") != std::string::npos);
}
