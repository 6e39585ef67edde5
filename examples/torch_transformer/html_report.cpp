#include <numbers>

#include "report/curriculum_section.hpp"
#include "report/expert_table.hpp"
#include "report/page.hpp"
#include "report/spread.hpp"
#include "report/text.hpp"
#include "report_template.hpp"
#include "reports.hpp"
#include "summary.hpp"

namespace torch_transformer {

using namespace report;

namespace {

/// The colour of a group of students.
std::string style_of(std::size_t group) {
  constexpr const char* styles[] = {"o2", "o1", "o3", "o4", "o5"};
  return styles[group % std::size(styles)];
}

std::string legend(const task_results& outcome) {
  std::string html = "<div class='legend'>";
  for (std::size_t i = 0; i < outcome.groups.size(); ++i)
    html += "<span class='" + style_of(i) + "'>" + escaped(outcome.groups[i].name) + "</span>";
  return html + "</div>\n";
}

template <class Value>
std::string chart(const std::string& heading, const task_plan& plan, const task_results& outcome,
                  std::vector<reference_line> references, Value value) {
  line_chart drawn{plan.name + ": " + heading + " over epochs", {"epoch", 1, 1}, {}, std::move(references)};
  for (std::size_t i = 0; i < outcome.groups.size(); ++i) {
    std::vector<std::vector<double>> values;
    for (const trained_model& student : outcome.groups[i].students) {
      values.emplace_back();
      for (const epoch_record& epoch : student.training.epochs) values.back().push_back(value(epoch));
    }
    drawn.axis.last = std::max(drawn.axis.last, static_cast<double>(values.front().size()));
    drawn.curves.push_back(curve_over_seeds(style_of(i), values));
  }
  return "<div class='card'><h3>" + heading + "</h3>" + svg(drawn) + "</div>\n";
}

std::string charts(const task_plan& plan, const task_results& outcome) {
  const double taught = quality(plan, outcome.teacher.training.epochs.back().validation);
  const bool is_text = plan.kind == task_kind::text;
  return legend(outcome) + "<div class='charts'>\n" +
         chart(is_text ? "Validation bits per byte" : "Validation accuracy, %", plan, outcome,
               {{"teacher", taught}},
               [&](const epoch_record& epoch) { return quality(plan, epoch.validation); }) +
         (is_text ? chart("Validation next-byte accuracy, %", plan, outcome, {},
                          [](const epoch_record& epoch) { return 100 * epoch.validation.accuracy; })
                  : chart("Validation NLL, nats", plan, outcome, {},
                          [](const epoch_record& epoch) { return epoch.validation.nats; })) +
         chart("Training loss", plan, outcome, {},
               [](const epoch_record& epoch) { return epoch.training_loss; }) +
         "</div>\n";
}

std::string results_table(const task_plan& plan, const task_results& outcome) {
  const std::vector<std::string> columns = column_names(plan);
  return "<div class='card'><table class='results'><thead><tr>" + column_heads(columns) +
         "</tr></thead><tbody>\n" + table_rows(columns, result_table(plan, outcome)) +
         "</tbody></table></div>\n";
}

std::string experts(const task_plan& plan, const task_results& outcome) {
  std::vector<expert_picks> rows;
  std::vector<std::int64_t> all(outcome.picks.front().size());
  for (std::size_t layer = 0; layer < outcome.picks.size(); ++layer) {
    rows.push_back({std::to_string(layer + 1), outcome.picks[layer]});
    for (std::size_t e = 0; e < all.size(); ++e) all[e] += outcome.picks[layer][e];
  }
  return "<h3>The teacher's experts</h3>\n<p>In each layer the gate picked " +
         std::to_string(plan.teacher.experts_per_token) + " of " + std::to_string(plan.teacher.experts) +
         " experts for every validation token" + described_usage(all) +
         " Rows are layers, columns experts, numbers percent of a row.</p>\n" + expert_table("layer", rows);
}

std::string described(const transformer_shape& shape) {
  std::string text = counted(shape.layers, "layer") + " of width " + std::to_string(shape.width) + ", " +
                     counted(shape.heads, "head") + ", feed-forward width " + std::to_string(shape.hidden);
  if (shape.experts > 1)
    text += " in each of " + counted(shape.experts, "expert") + ", " +
            std::to_string(shape.experts_per_token) + " for a token";
  return text;
}

std::string models(const task_plan& plan, const task_results& outcome) {
  return "<dl><dt>Teacher</dt><dd>" + described(plan.teacher) + "; a token meets " +
         grouped(outcome.active_parameters) + " of the " + grouped(outcome.teacher_parameters) +
         " parameters; " + grouped(plan.teacher_epochs * plan.steps_per_epoch) +
         " steps</dd><dt>Student</dt><dd>" + described(plan.student) + "; " +
         grouped(outcome.student_parameters) + " parameters</dd><dt>Batches</dt><dd>" +
         std::to_string(plan.batch_size) + " × " + std::to_string(plan.teacher.positions) + " tokens, " +
         std::to_string(plan.steps_per_epoch) + " steps are an epoch here</dd></dl>\n";
}

std::string task_section(const task_plan& plan, const task_results& outcome) {
  std::string html = "<h2>" + plan.name + "</h2>\n" + models(plan, outcome) + results_table(plan, outcome);
  for (const std::string& sentence : verdicts(plan, outcome)) html += "<p>" + escaped(sentence) + "</p>\n";
  return html + "<h3>How the students learned</h3>\n" + charts(plan, outcome) + experts(plan, outcome);
}

std::string curricula(const experiment_plan& plan) {
  std::string html;
  for (const student_curriculum& one : plan.curricula.front())
    html += "<h3><code>" + escaped(one.name) + "</code></h3>\n" +
            curriculum_section(one, plan.tasks.front().steps_per_epoch);
  return html;
}

}  // namespace

std::string html_report(const experiment_plan& plan, const results& outcome, int threads) {
  std::string sections;
  for (std::size_t i = 0; i < plan.tasks.size(); ++i)
    sections += task_section(plan.tasks[i], outcome.tasks[i]);
  return filled_page(
      report_template,
      {{"tasks", sections},
       {"curricula", curricula(plan)},
       {"seeds", counted(plan.seed_count, "seed")},
       {"quick_notice", plan.name == "quick" ? "<p class='notice'>This was a quick run of a few steps. It "
                                               "shows that everything works; its numbers mean little.</p>"
                                             : ""},
       {"threads", counted(threads, "thread")},
       {"time", minutes(outcome.seconds)}});
}

}  // namespace torch_transformer
