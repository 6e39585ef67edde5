// libtorch agrees with every alignment: attention, hidden states, relations.
#include "interop/torch_agreement.hpp"
// after Catch2 is settled
#include <distill/alignment/attention_kl.hpp>
#include <distill/alignment/attention_mse.hpp>
#include <distill/alignment/attention_transfer.hpp>
#include <distill/alignment/gram_mse.hpp>
#include <distill/alignment/hidden_cosine.hpp>
#include <distill/alignment/hidden_huber.hpp>
#include <distill/alignment/hidden_mse.hpp>
#include <distill/alignment/linear_cka.hpp>
#include <distill/alignment/normalized_mse.hpp>
#include <distill/alignment/relation.hpp>
#include <distill/alignment/rkd_angle.hpp>
#include <distill/alignment/rkd_distance.hpp>
#include <distill/alignment/similarity_preserving.hpp>

using namespace distill;
using namespace torch_agreement;

namespace {

at::Tensor map_divergence(const at::Tensor& a, const at::Tensor& b) {
  return (at::softmax(a, -1) * (at::log_softmax(a, -1) - at::log_softmax(b, -1))).sum(-1);
}

/// Maps of rank 4 and 3, in every layout and some pairs of types.
void check_maps(const function& ours, const function& theirs) {
  for (const layout how : every_layout)
    for (const at::ScalarType type : every_type) {
      const shape maps = {random_extent(1, 3), random_extent(1, 4), random_extent(1, 9),
                          random_extent(2, 40)};
      check_agreement(ours, theirs, maps, maps, type, at::kFloat, how);
      check_agreement(ours, theirs, {maps[1], maps[2], maps[3]}, {maps[1], maps[2], maps[3]}, at::kFloat,
                      type, how);
    }
}

/// A loss with a batch's rows, whose widths may differ.
template <class L>
void check_batch(const std::string& name, const L& loss, const function& theirs, bool same_width = false) {
  check_matrices(
      name, [&](const at::Tensor& s, const at::Tensor& t) { return torch_loss(loss, s, t); }, theirs, 4,
      same_width);
}

at::Tensor normalized_rows(const at::Tensor& x) { return x / x.norm(2, 1, true); }
at::Tensor distances(const at::Tensor& x) {
  const at::Tensor diagonal = at::eye(x.size(0), x.options());
  return ((x.unsqueeze(0) - x.unsqueeze(1)).square().sum(2) + diagonal).sqrt() * (1 - diagonal);
}
double pairs(const at::Tensor& x) { return static_cast<double>(x.size(0) * (x.size(0) - 1)); }
at::Tensor normalized_distances(const at::Tensor& x) {
  return distances(x) / (distances(x).sum() / pairs(x));
}
at::Tensor cosines(const at::Tensor& x) {
  const at::Tensor diagonal = at::eye(x.size(0), x.options());
  const at::Tensor difference = x.unsqueeze(1) - x.unsqueeze(0);
  const at::Tensor directions = difference / (difference.square().sum(2) + diagonal).sqrt().unsqueeze(2);
  const at::Tensor ends = 1 - diagonal;
  return at::einsum("ijd,kjd->ijk", {directions, directions}) * ends.unsqueeze(1);
}

}  // namespace

TEST_CASE("libtorch agrees on attention maps") {
  for (const reduction how : {reduction::none, reduction::sum, reduction::batch_mean, reduction::mean}) {
    const auto reduced = [how](const at::Tensor& rows, const at::Tensor& maps) {
      if (how == reduction::none) return rows;
      if (how == reduction::sum) return rows.sum();
      return how == reduction::batch_mean ? rows.mean() : rows.mean() / static_cast<double>(maps.size(-1));
    };
    const attention_options options{.reduction = how};
    check_maps(
        [&](const at::Tensor& s, const at::Tensor& t) { return torch_loss(attention_kl{}, s, t, options); },
        [&](const at::Tensor& s, const at::Tensor& t) { return reduced(map_divergence(t, s), s); });
    check_maps(
        [&](const at::Tensor& s, const at::Tensor& t) { return torch_loss(attention_mse{}, s, t, options); },
        [&](const at::Tensor& s, const at::Tensor& t) { return reduced((s - t).square().sum(-1), s); });
  }
}

TEST_CASE("masks and lengths are tensors too") {
  check_maps(
      [](const at::Tensor& s, const at::Tensor& t) {
        const at::Tensor lengths = at::full({s.size(0)}, s.size(-1) - 1, at::kLong);
        return torch_loss(attention_kl{}, s, t, {.key_lengths = torch_labels(lengths)});
      },
      [](const at::Tensor& s, const at::Tensor& t) {
        return map_divergence(t.narrow(-1, 0, t.size(-1) - 1), s.narrow(-1, 0, s.size(-1) - 1)).mean();
      });
  check_maps(
      [](const at::Tensor& s, const at::Tensor& t) {
        const at::Tensor mask = at::arange(s.size(-1)).remainder(2).eq(0).expand({s.size(0), s.size(-1)});
        return torch_loss(attention_mse{}, s, t, {.reduction = reduction::sum, .key_mask = torch_mask(mask)});
      },
      [](const at::Tensor& s, const at::Tensor& t) {
        return (s - t).slice(-1, 0, s.size(-1), 2).square().sum();
      });
}

TEST_CASE("libtorch agrees on attention from queries and keys") {
  const auto scores = [](const at::Tensor& q, const at::Tensor& k, double scale) {
    return at::matmul(q, k.transpose(-1, -2)) * scale;
  };
  for (const at::ScalarType type : every_type)
    for (const at::ScalarType teacher_type : every_type) {
      const auto leaf = [](const at::Tensor& x) { return x.detach().to(at::kDouble).requires_grad_(true); };
      const at::Tensor q = at::randn({2, 3, 7, 8}, at::kDouble).to(type).requires_grad_(true);
      const at::Tensor k = at::randn({2, 3, 9, 8}, at::kDouble).to(type).requires_grad_(true);
      const at::Tensor tq = at::randn({2, 3, 7, 5}, at::kDouble).to(teacher_type),
                       tk = at::randn({2, 3, 9, 5}, at::kDouble).to(teacher_type);
      const at::Tensor rq = leaf(q), rk = leaf(k);
      const at::Tensor value =
          torch_loss(attention_kl{}, torch_queries_keys{q, k}, torch_queries_keys{tq, tk, 0.3}) +
          2 * torch_loss(attention_mse{}, torch_queries_keys{q, k}, torch_queries_keys{tq, tk});
      const at::Tensor mine = scores(rq, rk, 1 / std::sqrt(8.0));
      const at::Tensor theirs = scores(tq.to(at::kDouble), tk.to(at::kDouble), 0.3);
      const at::Tensor plain = scores(tq.to(at::kDouble), tk.to(at::kDouble), 1 / std::sqrt(5.0));
      const at::Tensor expected =
          map_divergence(theirs, mine).mean() + 2 * (mine - plain).square().sum(-1).mean();
      CHECK(difference(value, expected) <
            tolerance(type == at::kDouble && teacher_type == at::kDouble ? at::kDouble : at::kFloat));
      value.backward();
      expected.backward();
      CHECK(difference(q.grad(), rq.grad()) < tolerance(type, 1e-6));
      CHECK(difference(k.grad(), rk.grad()) < tolerance(type, 1e-6));
    }
  const at::Tensor q = at::randn({1, 1, 2, 2}), wide = at::randn({1, 1, 2, 2}, at::kDouble);
  CHECK_THROWS_WITH(torch_loss(attention_kl{}, torch_queries_keys{q, wide}, torch_queries_keys{q, q}),
                    "torch_loss: student.keys is of Double, needs Float");
  CHECK_THROWS_WITH(
      torch_loss(attention_kl{}, torch_queries_keys{q, q}, torch_queries_keys{q, q},
                 {.reduction = reduction::none}),
      "torch_loss: reduction::none is for maps; from products a row has no gradient of its own");
}

TEST_CASE("libtorch agrees on self-relations") {
  for (const at::ScalarType type : every_type)
    for (const bool is_flat : {false, true})
      check_agreement(
          [](const at::Tensor& s, const at::Tensor& t) { return torch_loss(relation{}, s, t); },
          [](const at::Tensor& s, const at::Tensor& t) {
            const auto self = [](const at::Tensor& x) {
              return at::matmul(x, x.transpose(-1, -2)) / std::sqrt(static_cast<double>(x.size(-1)));
            };
            return map_divergence(self(t), self(s)).mean();
          },
          is_flat ? shape{2, 9, 8} : shape{2, 3, 9, 8}, is_flat ? shape{2, 9, 5} : shape{2, 3, 9, 5}, type,
          is_flat || type == at::kDouble ? at::kDouble : at::kHalf, layout::compact);
}

TEST_CASE("libtorch agrees on attention transfer") {
  const auto map_of = [](const at::Tensor& x) {
    const at::Tensor sum = x.abs().pow(2).sum(1).flatten(1);
    return sum / sum.norm(2, 1, true);
  };
  for (const reduction how : {reduction::none, reduction::batch_mean})
    for (const at::ScalarType type : every_type)
      for (const shape& positions : {shape{5, 6}, shape{11}}) {
        shape student = {3, 4}, teacher = {3, 7};
        student.insert(student.end(), positions.begin(), positions.end());
        teacher.insert(teacher.end(), positions.begin(), positions.end());
        check_agreement(
            [&](const at::Tensor& s, const at::Tensor& t) {
              return torch_loss(attention_transfer{}, s, t, {.reduction = how});
            },
            [&](const at::Tensor& s, const at::Tensor& t) {
              const at::Tensor rows = (map_of(s) - map_of(t)).square().sum(1);
              return how == reduction::none ? rows : rows.mean();
            },
            student, teacher, type, at::kFloat, layout::compact);
      }
}

TEST_CASE("libtorch agrees on hidden states") {
  const auto check = [](const std::string& name, const auto& loss, const function& rows_of) {
    for (const reduction how : {reduction::none, reduction::sum, reduction::batch_mean})
      check_matrices(
          name,
          [&](const at::Tensor& s, const at::Tensor& t) {
            return torch_loss(loss, s, t, {.reduction = how});
          },
          [&](const at::Tensor& s, const at::Tensor& t) {
            const at::Tensor rows = rows_of(s, t);
            return how == reduction::none ? rows : how == reduction::sum ? rows.sum() : rows.mean();
          });
  };
  check("mse", hidden_mse{},
        [](const at::Tensor& s, const at::Tensor& t) { return (s - t).square().sum(1); });
  check("huber", hidden_huber{.delta = 0.7}, [](const at::Tensor& s, const at::Tensor& t) {
    return at::huber_loss(s, t, at::Reduction::None, 0.7).sum(1);
  });
  check("cosine", hidden_cosine{},
        [](const at::Tensor& s, const at::Tensor& t) { return 1 - at::cosine_similarity(s, t, 1); });
  check("normalized_mse", normalized_mse{}, [](const at::Tensor& s, const at::Tensor& t) {
    return (normalized_rows(s) - normalized_rows(t)).square().sum(1);
  });
}

TEST_CASE("libtorch agrees on relations between rows") {
  check_batch("rkd_distance", rkd_distance{}, [](const at::Tensor& s, const at::Tensor& t) {
    return at::smooth_l1_loss(normalized_distances(s), normalized_distances(t), at::Reduction::Sum) /
           pairs(s);
  });
  check_batch("rkd_angle", rkd_angle{}, [](const at::Tensor& s, const at::Tensor& t) {
    const at::Tensor sum = at::smooth_l1_loss(cosines(s), cosines(t), at::Reduction::Sum);
    return sum / (pairs(s) * static_cast<double>(s.size(0) - 2));
  });
  check_batch("similarity_preserving", similarity_preserving{}, [](const at::Tensor& s, const at::Tensor& t) {
    return (normalized_rows(at::mm(s, s.t())) - normalized_rows(at::mm(t, t.t()))).square().mean();
  });
  check_batch("linear_cka", linear_cka{}, [](const at::Tensor& s, const at::Tensor& t) {
    const auto gram = [](const at::Tensor& x) {
      const at::Tensor centered = x - x.mean(0, true);
      return at::mm(centered, centered.t());
    };
    const at::Tensor k = gram(s), l = gram(t);
    return 1 - (k * l).sum() / (k.norm() * l.norm());
  });
}

TEST_CASE("libtorch agrees on Gram matrices, of rows and of columns") {
  check_batch("rows", gram_mse{}, [](const at::Tensor& s, const at::Tensor& t) {
    const auto gram = [](const at::Tensor& x) { return at::mm(x, x.t()) / static_cast<double>(x.size(1)); };
    return (gram(s) - gram(t)).square().mean();
  });
  check_batch(
      "columns", gram_mse{.over = gram_axis::columns},
      [](const at::Tensor& s, const at::Tensor& t) {
        const auto gram = [](const at::Tensor& x) {
          return at::mm(x.t(), x) / static_cast<double>(x.size(0));
        };
        return (gram(s) - gram(t)).square().mean();
      },
      true);
  const at::Tensor s = at::randn({5, 6}), t = at::randn({5, 6}),
                   mask = at::tensor({1.0f, 0.0f, 1.0f, 1.0f, 1.0f});
  const at::Tensor kept = s.index_select(0, at::tensor({0, 2, 3, 4})),
                   kept_t = t.index_select(0, at::tensor({0, 2, 3, 4}));
  CHECK(torch_loss(gram_mse{}, s, t,
                   {.product = torch_product{}, .row_mask = torch_vector<float>(mask), .weight = 3})
            .item<double>() == Approx(3 * torch_loss(gram_mse{}, kept, kept_t).item<double>()));
}
