// relation against the oracle, which holds every map.
#include <catch2/catch.hpp>
#include <distill/alignment/relation.hpp>

#include "alignment/attention_cases.hpp"
#include "alignment/plain_product.hpp"

using namespace attention_cases;
using distill::relation;

namespace {

struct relation_shape {
  std::size_t batch, heads, positions, width, teacher_heads, teacher_width, relation_heads;
};

attention_oracle::tensor sum(attention_oracle::tensor a, const attention_oracle::tensor& b) {
  for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] += b.values[i];
  return a;
}

template <class S>
void check(const relation_shape& e, const masks& mask, memory how, double allowed) {
  const auto x = random_tensor(e.batch, e.heads, e.positions, e.width, 1, 1);
  const auto y = random_tensor(e.batch, e.teacher_heads, e.positions, e.teacher_width, 2, 1);
  const guarded_tensor<S> student(x, how), teacher(y, how);
  guarded_tensor<S> gradient(e.batch, e.heads, e.positions, e.width, how);
  const support::plain_product product;
  auto options = mask.options(e.batch, e.positions, e.positions);
  options.product = product;
  const double value =
      relation{.relation_heads = e.relation_heads}(student.view(), teacher.view(), gradient.view(), options);
  const std::size_t heads = e.relation_heads == 0 ? e.heads : e.relation_heads;
  const auto xr = split_again(x, heads), yr = split_again(y, heads);
  const auto scale = [](const auto& t) { return 1 / std::sqrt(static_cast<number>(t.columns)); };
  const auto expected = of_maps(attention_oracle::formula::kl, scores(xr, xr, scale(xr)),
                                scores(yr, yr, scale(yr)), mask.visible(e.positions, e.positions));
  attention_oracle::tensor dq, dk;
  backward(expected.gradient, xr, xr, scale(xr), dq, dk);
  CAPTURE(mask.name, e.heads, e.relation_heads, static_cast<int>(how));
  CHECK(deviation(value, expected.value) <= allowed);
  CHECK(deviation(split_again(gradient.exact(), heads), sum(dq, dk)) <= allowed);
  CHECK(gradient.is_intact());
}

}  // namespace

TEST_CASE("relation: heads kept, split and merged, every mask") {
  for (const relation_shape& e : {relation_shape{2, 3, 9, 4, 3, 6, 0}, relation_shape{2, 2, 9, 6, 3, 4, 4},
                                  relation_shape{2, 4, 9, 3, 2, 4, 2}, relation_shape{1, 4, 9, 3, 2, 9, 6},
                                  relation_shape{1, 1, 140, 6, 1, 12, 3}})
    for (const masks& mask : every_mask(e.batch, e.positions, e.positions, 3))
      for (const memory how : {memory::compact, memory::heads_inside, memory::padded}) {
        check<double>(e, mask, how, 1e-11);
        check<float>(e, mask, how, 1e-5);
      }
}

TEST_CASE("relation of an array of rank 3") {
  const auto x = random_tensor(2, 1, 7, 12, 1), y = random_tensor(2, 1, 7, 6, 2);
  const guarded_tensor<double> student(x), teacher(y);
  struct rank_3 {
    const double* data;
    std::size_t extents[3];
    const double* data_handle() const { return data; }
    static std::size_t rank() { return 3; }
    std::size_t extent(int i) const { return extents[i]; }
    std::ptrdiff_t stride(int i) const {
      return static_cast<std::ptrdiff_t>(i == 0 ? extents[1] * extents[2] : i == 1 ? extents[2] : 1);
    }
  };
  const support::plain_product product;
  distill::attention_options options;
  options.product = product;
  const rank_3 s{student.view().data_handle(), {2, 7, 12}}, t{teacher.view().data_handle(), {2, 7, 6}};
  const relation loss{.relation_heads = 3};
  CHECK(loss(s, t, distill::no_gradient, options) ==
        loss(student.view(), teacher.view(), distill::no_gradient, options));
  CHECK(loss(s, t, distill::no_gradient, options) !=
        relation{.relation_heads = 2}(s, t, distill::no_gradient, options));
}

TEST_CASE("relation: a student relation head may learn from another teacher relation head") {
  const auto x = random_tensor(1, 2, 8, 4, 1), y = random_tensor(1, 4, 8, 4, 2);
  const guarded_tensor<double> student(x), teacher(y);
  const support::plain_product product;
  distill::attention_options options;
  options.product = product;
  const double value = relation{.heads = distill::head_map::selection({3, 1})}(student.view(), teacher.view(),
                                                                               distill::no_gradient, options);
  const auto expected = of_maps(
      attention_oracle::formula::kl, scores(x, x, 0.5L), scores(y, y, 0.5L), attention_oracle::everything,
      [](std::size_t head) { return std::vector<std::size_t>{head == 0 ? std::size_t{3} : std::size_t{1}}; });
  CHECK(deviation(value, expected.value) < 1e-12);
}
