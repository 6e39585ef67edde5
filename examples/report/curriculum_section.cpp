#include "curriculum_section.hpp"

#include "line_chart.hpp"
#include "text.hpp"

namespace report {
namespace {

template <class Value>
std::vector<double> values_over(const timeline& steps, const Value& value) {
  std::vector<double> values;
  for (const std::int64_t step : sampled_steps(steps))
    values.push_back(value(steps.moments[static_cast<std::size_t>(step)]));
  return values;
}

/// A chart over the steps; stages are marked by their numbers.
std::string schedule_chart(const std::string& heading, const timeline& steps, std::vector<curve> curves) {
  line_chart chart{heading + " over training steps",
                   {"step", 0, static_cast<double>(steps.moments.size()) - 1},
                   std::move(curves)};
  for (std::size_t i = 0; i < steps.stages.size(); ++i)
    chart.marks.push_back({std::to_string(i + 1), static_cast<double>(steps.stages[i].first_step)});
  return "<div class='card'><h3>" + heading + "</h3>" + svg(chart) + "</div>\n";
}

std::string objective_style(std::size_t number) {
  return std::string("o").append(std::to_string(number + 1));
}

std::string weight_chart(const timeline& steps) {
  std::vector<curve> curves = {
      {"whole", values_over(steps, [](const moment& now) { return now.loss_weight; })}};
  for (std::size_t i = 0; i < steps.objectives.size(); ++i)
    curves.push_back(
        {objective_style(i), values_over(steps, [i](const moment& now) { return now.objectives[i]; })});
  return schedule_chart("Weights", steps, std::move(curves));
}

std::string legend(const timeline& steps) {
  std::string html = "<div class='legend'>";
  for (std::size_t i = 0; i < steps.objectives.size(); ++i)
    html += "<span class='" + objective_style(i) + "'>" + escaped(steps.objectives[i]) + "</span>";
  return html + "<span class='whole'>loss weight of the stage</span></div>\n";
}

std::string cell(double first, double last) {
  const std::string from = short_number(first), to = short_number(last);
  return "<td>" + (from == to ? from : from + " → " + to) + "</td>";
}

std::string stage_row(std::size_t number, const stage_span& stage, const timeline& steps,
                      std::int64_t steps_per_epoch) {
  const moment& first = steps.moments[static_cast<std::size_t>(stage.first_step)];
  const moment& last = steps.moments[static_cast<std::size_t>(stage.last_step())];
  const double epochs = static_cast<double>(stage.steps) / static_cast<double>(steps_per_epoch);
  std::string html = "<tr><th scope='row'>" + std::to_string(number) + " " + escaped(stage.name) +
                     "</th><td>" + grouped(stage.steps) + "</td><td>" + fixed(epochs, 1) + "</td>" +
                     cell(first.temperature, last.temperature) +
                     cell(first.learning_rate, last.learning_rate) +
                     cell(first.loss_weight, last.loss_weight);
  for (std::size_t i = 0; i < steps.objectives.size(); ++i)
    html += cell(first.objectives[i], last.objectives[i]);
  return html + "</tr>\n";
}

std::string stage_table(const timeline& steps, std::int64_t steps_per_epoch) {
  std::string html =
      "<div class='card stages'><table><thead><tr><th>stage</th><th>steps</th><th>epochs</th>"
      "<th>temperature</th><th>learning rate</th><th>loss weight</th>";
  for (const std::string& name : steps.objectives) html += "<th>" + escaped(name) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (std::size_t i = 0; i < steps.stages.size(); ++i)
    html += stage_row(i + 1, steps.stages[i], steps, steps_per_epoch);
  return html + "</tbody></table></div>\n";
}

}  // namespace

std::string curriculum_section(const student_curriculum& curriculum, std::int64_t steps_per_epoch) {
  const timeline& steps = curriculum.steps;
  return legend(steps) + "<div class='charts'>\n" +
         schedule_chart("Temperature", steps,
                        {{"o1", values_over(steps, [](const moment& now) { return now.temperature; })}}) +
         schedule_chart("Learning rate", steps,
                        {{"o1", values_over(steps, [](const moment& now) { return now.learning_rate; })}}) +
         weight_chart(steps) + "</div>\n" + stage_table(steps, steps_per_epoch);
}

}  // namespace report
